#include "coordinator/text/regex_dialect.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

// White_Space. PCRE2's \s would add U+180E.
constexpr absl::string_view kSpace =
    R"(\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr absl::string_view kHex = "0-9a-fA-F";
// Alphabetic, marks, decimal digits and connectors.
constexpr absl::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169})"
    R"(\x{1f170}-\x{1f189})";

class Translator {
 public:
  explicit Translator(absl::string_view pattern) : in_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (pos_ < in_.size()) {
      const char c = in_[pos_];
      if (c == '\\') {
        TranslateEscape(/*in_class=*/false);
      } else if (c == '[') {
        LC_RETURN_IF_ERROR(TranslateClass());
      } else if (c == '(' && in_.substr(pos_, 2) == "(?") {
        TranslateGroupOpening();
      } else if (c == '}' && in_.substr(pos_, 2) == "}+") {
        return Unsupported("an interval followed by '+'");
      } else {
        out_.push_back(c);
        ++pos_;
      }
    }
    return std::move(out_);
  }

 private:
  absl::Status Unsupported(absl::string_view what) const {
    return absl::UnimplementedError(
        absl::StrCat("regular expression '", in_, "' has ", what, " at byte ", pos_,
                     ", which this build cannot run; rewrite it without"));
  }

  void TranslateEscape(bool in_class) {
    const char kind = pos_ + 1 < in_.size() ? in_[pos_ + 1] : '\0';
    const auto emit_class = [&](absl::string_view set, bool negated) {
      absl::StrAppend(&out_, in_class ? "" : negated ? "[^" : "[", set, in_class ? "" : "]");
      pos_ += 2;
    };
    switch (kind) {
      case 's':
        return emit_class(kSpace, false);
      case 'h':
        return emit_class(kHex, false);
      case 'w':
        return emit_class(kWord, false);
      case 'u':
        if (pos_ + 6 <= in_.size()) {
          absl::StrAppend(&out_, "\\x{", in_.substr(pos_ + 2, 4), "}");
          pos_ += 6;
          return;
        }
        break;
      case 'S':
      case 'H':
      case 'W':
        // Inside a class PCRE2's own negated escape is close enough: it differs on U+180E alone.
        if (!in_class) return emit_class(kind == 'S' ? kSpace : kind == 'H' ? kHex : kWord, true);
        break;
      default:
        break;
    }
    // What stands in braces behind \p, \x and the like belongs to the escape.
    const size_t brace = pos_ + 2 < in_.size() && in_[pos_ + 2] == '{' ? in_.find('}', pos_)
                                                                       : absl::string_view::npos;
    const size_t end =
        brace == absl::string_view::npos || !absl::ascii_isalpha(kind) ? pos_ + 2 : brace + 1;
    absl::StrAppend(&out_, in_.substr(pos_, end - pos_));
    pos_ = std::min(end, in_.size());
  }

  absl::Status TranslateClass() {
    out_.push_back(in_[pos_++]);
    if (pos_ < in_.size() && in_[pos_] == '^') out_.push_back(in_[pos_++]);
    // A ']' that comes first stands for itself.
    if (pos_ < in_.size() && in_[pos_] == ']') {
      absl::StrAppend(&out_, "\\]");
      ++pos_;
    }
    while (pos_ < in_.size()) {
      const char c = in_[pos_];
      if (c == '\\') {
        TranslateEscape(/*in_class=*/true);
      } else if (c == '[' && in_.substr(pos_, 2) == "[:") {
        const size_t end = in_.find(":]", pos_ + 2);
        if (end == absl::string_view::npos) return Unsupported("an unfinished POSIX class");
        absl::StrAppend(&out_, in_.substr(pos_, end + 2 - pos_));
        pos_ = end + 2;
      } else if (c == '[') {
        return Unsupported("a character class inside another");
      } else if (c == '&' && in_.substr(pos_, 2) == "&&") {
        return Unsupported("an intersection of character classes");
      } else {
        out_.push_back(c);
        ++pos_;
        if (c == ']') return absl::OkStatus();
      }
    }
    return absl::OkStatus();  // unfinished: PCRE2 will say so
  }

  // Ruby's (?m) lets '.' match a newline, which PCRE2 spells (?s).
  void TranslateGroupOpening() {
    absl::StrAppend(&out_, "(?");
    pos_ += 2;
    while (pos_ < in_.size() &&
           absl::string_view("imx-").find(in_[pos_]) != absl::string_view::npos) {
      out_.push_back(in_[pos_] == 'm' ? 's' : in_[pos_]);
      ++pos_;
    }
  }

  absl::string_view in_;
  size_t pos_ = 0;
  std::string out_;
};

}  // namespace

absl::StatusOr<std::string> TranslateRegexDialect(absl::string_view pattern) {
  return Translator(pattern).Run();
}

}  // namespace layercake
