#include "coordinator/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/regex_dialect.h"
#include "coordinator/text/utf8.h"

namespace layercake {
namespace {

struct MatchDataDeleter {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

// One pair of offsets serves every pattern, so each thread keeps one.
pcre2_match_data* ThreadMatchData() {
  thread_local std::unique_ptr<pcre2_match_data, MatchDataDeleter> data(
      pcre2_match_data_create(1, nullptr));
  return data.get();
}

std::string ErrorText(int code) {
  PCRE2_UCHAR buffer[160];
  if (pcre2_get_error_message(code, buffer, sizeof(buffer)) < 0) return absl::StrCat(code);
  return reinterpret_cast<const char*>(buffer);
}

absl::StatusOr<pcre2_code*> CompileCode(absl::string_view pattern, absl::string_view original) {
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, context.get());
  if (code == nullptr) {
    return absl::DataLossError(absl::StrCat("bad regular expression '", original,
                                            "': ", ErrorText(error), " near byte ", offset));
  }
  // Where the platform has no JIT the interpreter runs the same pattern.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return code;
}

// The next match at or after `start`, none, or an error.
absl::StatusOr<std::optional<std::pair<size_t, size_t>>> Search(const pcre2_code* code,
                                                                absl::string_view text,
                                                                size_t start) {
  pcre2_match_data* data = ThreadMatchData();
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  int rc = pcre2_match(code, subject, text.size(), start, PCRE2_NO_UTF_CHECK, data, nullptr);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
    rc = pcre2_match(code, subject, text.size(), start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data,
                     nullptr);
  }
  if (rc == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (rc < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the tokenizer's regular expression gave up at byte ", start, " of a text of ",
                     text.size(), " bytes: ", ErrorText(rc), "; send a shorter text"));
  }
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data);
  // \K can put the start past the end, or before where the search began.
  if (offsets[0] < start || offsets[1] < offsets[0]) {
    return absl::UnimplementedError("the tokenizer's regular expression moves the match with \\K");
  }
  return std::make_pair(offsets[0], offsets[1]);
}

}  // namespace

void Regex::CodeDeleter::operator()(void* code) const {
  pcre2_code_free(static_cast<pcre2_code*>(code));
}

absl::StatusOr<Regex> Regex::Compile(absl::string_view pattern) {
  LC_ASSIGN_OR_RETURN(const std::string translated, TranslateRegexDialect(pattern));
  LC_ASSIGN_OR_RETURN(pcre2_code * code, CompileCode(translated, pattern));
  return Regex(code);
}

absl::StatusOr<Regex> Regex::Literal(absl::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80 && IsPunctuation(static_cast<unsigned char>(c))) {
      escaped.push_back('\\');
    }
    escaped.push_back(c);
  }
  LC_ASSIGN_OR_RETURN(pcre2_code * code, CompileCode(escaped, text));
  return Regex(code);
}

absl::Status Regex::ForEachSpan(absl::string_view text, Visitor visit) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  size_t search_from = 0;
  size_t covered = 0;
  bool after_match = false;
  while (search_from <= text.size()) {
    LC_ASSIGN_OR_RETURN(const auto match, Search(code, text, search_from));
    if (!match.has_value()) break;
    const auto [begin, end] = *match;
    if (begin == end && after_match && end == covered) {
      // An empty match right behind the last one is not a match: look one character further.
      search_from += search_from < text.size() ? DecodeUtf8(text, search_from).length : 1;
      continue;
    }
    if (covered < begin) visit(covered, begin, false);
    visit(begin, end, true);
    search_from = covered = end;
    after_match = true;
  }
  if (covered < text.size()) visit(covered, text.size(), false);
  return absl::OkStatus();
}

}  // namespace layercake
