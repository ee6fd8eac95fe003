#include "coordinator/text/pre_tokenizer.h"

#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/byte_level.h"
#include "coordinator/text/pattern_json.h"
#include "coordinator/text/regex.h"
#include "coordinator/text/split_behavior.h"
#include "coordinator/text/utf8.h"

namespace layercake {
namespace {

constexpr int kMaxNesting = 16;
constexpr absl::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

absl::string_view View(const Words& words, TextSpan span) {
  return absl::string_view(words.text).substr(span.begin, span.end - span.begin);
}

// Appends the pieces of `span` that `pattern` finds; matches are delimiters, or with `invert` the
// stretches between them are.
absl::Status FindPieces(const Regex& pattern, bool invert, const Words& words, TextSpan span,
                        std::vector<SplitPiece>* pieces) {
  return pattern.ForEachSpan(View(words, span), [&](size_t begin, size_t end, bool is_match) {
    pieces->push_back({{span.begin + begin, span.begin + end}, is_match != invert});
  });
}

absl::Status SplitByRegex(const Regex& pattern, bool invert, SplitBehavior behavior, Words* words) {
  std::vector<TextSpan> out;
  std::vector<SplitPiece> pieces;
  for (const TextSpan span : words->spans) {
    pieces.clear();
    LC_RETURN_IF_ERROR(FindPieces(pattern, invert, *words, span, &pieces));
    ApplySplitBehavior(pieces, behavior, &out);
  }
  words->spans = std::move(out);
  return absl::OkStatus();
}

// Every character that satisfies `is_delimiter` is a delimiter of its own.
void SplitByCharacter(absl::FunctionRef<bool(char32_t)> is_delimiter, SplitBehavior behavior,
                      Words* words) {
  std::vector<TextSpan> out;
  std::vector<SplitPiece> pieces;
  for (const TextSpan span : words->spans) {
    pieces.clear();
    for (size_t pos = span.begin; pos < span.end;) {
      const CodePoint c = DecodeUtf8(words->text, pos);
      const TextSpan here = {pos, pos + c.length};
      const bool delimiter = is_delimiter(c.value);
      if (!delimiter && !pieces.empty() && !pieces.back().is_delimiter) {
        pieces.back().span.end = here.end;
      } else {
        pieces.push_back({here, delimiter});
      }
      pos = here.end;
    }
    ApplySplitBehavior(pieces, behavior, &out);
  }
  words->spans = std::move(out);
}

// Rebuilds the text word by word: `rewrite` appends what becomes of a word.
void RewriteWords(
    absl::FunctionRef<void(size_t index, absl::string_view word, std::string*)> rewrite,
    Words* words) {
  std::string text;
  text.reserve(words->text.size() * 5 / 4);
  for (size_t i = 0; i < words->spans.size(); ++i) {
    const size_t begin = text.size();
    rewrite(i, View(*words, words->spans[i]), &text);
    words->spans[i] = {begin, text.size()};
  }
  words->text = std::move(text);
}

class SplitPreTokenizer : public PreTokenizer {
 public:
  SplitPreTokenizer(Regex pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  absl::Status Apply(Words* words) const override {
    return SplitByRegex(pattern_, invert_, behavior_, words);
  }

 private:
  const Regex pattern_;
  const SplitBehavior behavior_;
  const bool invert_;
};

class ByteLevelPreTokenizer : public PreTokenizer {
 public:
  ByteLevelPreTokenizer(Regex pattern, bool add_prefix_space, bool use_regex)
      : pattern_(std::move(pattern)), add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}

  absl::Status Apply(Words* words) const override {
    if (add_prefix_space_) {
      RewriteWords(
          [](size_t, absl::string_view word, std::string* out) {
            if (word.front() != ' ') out->push_back(' ');
            absl::StrAppend(out, word);
          },
          words);
    }
    if (use_regex_) {
      LC_RETURN_IF_ERROR(SplitByRegex(pattern_, false, SplitBehavior::kIsolated, words));
    }
    RewriteWords(
        [](size_t, absl::string_view word, std::string* out) { AppendByteLevel(word, out); },
        words);
    return absl::OkStatus();
  }

 private:
  const Regex pattern_;
  const bool add_prefix_space_, use_regex_;
};

class CharacterPreTokenizer : public PreTokenizer {
 public:
  CharacterPreTokenizer(bool (*is_delimiter)(char32_t), SplitBehavior behavior)
      : is_delimiter_(is_delimiter), behavior_(behavior) {}
  absl::Status Apply(Words* words) const override {
    SplitByCharacter(is_delimiter_, behavior_, words);
    return absl::OkStatus();
  }

 private:
  bool (*const is_delimiter_)(char32_t);
  const SplitBehavior behavior_;
};

class DelimiterPreTokenizer : public PreTokenizer {
 public:
  explicit DelimiterPreTokenizer(char32_t delimiter) : delimiter_(delimiter) {}
  absl::Status Apply(Words* words) const override {
    SplitByCharacter([this](char32_t c) { return c == delimiter_; }, SplitBehavior::kRemoved,
                     words);
    return absl::OkStatus();
  }

 private:
  const char32_t delimiter_;
};

class MetaspacePreTokenizer : public PreTokenizer {
 public:
  enum class Prepend { kAlways, kFirst, kNever };
  MetaspacePreTokenizer(std::string replacement, Prepend prepend, bool split)
      : replacement_(std::move(replacement)), prepend_(prepend), split_(split) {}

  absl::Status Apply(Words* words) const override {
    const bool at_start = words->at_start;
    RewriteWords(
        [&](size_t index, absl::string_view word, std::string* out) {
          const bool wanted = prepend_ == Prepend::kAlways ||
                              (prepend_ == Prepend::kFirst && at_start && index == 0);
          const bool present =
              word.front() == ' ' || word.substr(0, replacement_.size()) == replacement_;
          if (wanted && !present) absl::StrAppend(out, replacement_);
          for (const char c : word) {
            if (c == ' ') {
              absl::StrAppend(out, replacement_);
            } else {
              out->push_back(c);
            }
          }
        },
        words);
    if (split_) {
      const char32_t delimiter = DecodeUtf8(replacement_, 0).value;
      SplitByCharacter([=](char32_t c) { return c == delimiter; }, SplitBehavior::kMergedWithNext,
                       words);
    }
    return absl::OkStatus();
  }

 private:
  const std::string replacement_;
  const Prepend prepend_;
  const bool split_;
};

// Runs of word characters, and runs of whatever else is not white space.
class WhitespacePreTokenizer : public PreTokenizer {
 public:
  absl::Status Apply(Words* words) const override {
    enum class Kind { kSpace, kWord, kOther };
    std::vector<TextSpan> out;
    for (const TextSpan span : words->spans) {
      Kind last = Kind::kSpace;
      for (size_t pos = span.begin; pos < span.end;) {
        const CodePoint c = DecodeUtf8(words->text, pos);
        const Kind kind = IsWhiteSpace(c.value)      ? Kind::kSpace
                          : IsWordCharacter(c.value) ? Kind::kWord
                                                     : Kind::kOther;
        if (kind != Kind::kSpace && kind == last) {
          out.back().end = pos + c.length;
        } else if (kind != Kind::kSpace) {
          out.push_back({pos, pos + c.length});
        }
        last = kind;
        pos += c.length;
      }
    }
    words->spans = std::move(out);
    return absl::OkStatus();
  }
};

class SequencePreTokenizer : public PreTokenizer {
 public:
  explicit SequencePreTokenizer(std::vector<std::unique_ptr<PreTokenizer>> steps)
      : steps_(std::move(steps)) {}
  absl::Status Apply(Words* words) const override {
    for (const auto& step : steps_) LC_RETURN_IF_ERROR(step->Apply(words));
    return absl::OkStatus();
  }

 private:
  const std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

using Made = absl::StatusOr<std::unique_ptr<PreTokenizer>>;

Made MakeSplit(const Json& json) {
  constexpr absl::string_view kWhere = "pre_tokenizer Split";
  LC_ASSIGN_OR_RETURN(Regex pattern, ReadPattern(json, kWhere));
  LC_ASSIGN_OR_RETURN(const std::string name, RequireString(json, "behavior", kWhere));
  LC_ASSIGN_OR_RETURN(const SplitBehavior behavior, ParseSplitBehavior(name));
  LC_ASSIGN_OR_RETURN(const bool invert, BoolOr(json, "invert", false, kWhere));
  return std::make_unique<SplitPreTokenizer>(std::move(pattern), behavior, invert);
}

Made MakeByteLevel(const Json& json) {
  constexpr absl::string_view kWhere = "pre_tokenizer ByteLevel";
  LC_ASSIGN_OR_RETURN(const bool add_space, BoolOr(json, "add_prefix_space", true, kWhere));
  LC_ASSIGN_OR_RETURN(const bool use_regex, BoolOr(json, "use_regex", true, kWhere));
  LC_ASSIGN_OR_RETURN(Regex pattern, Regex::Compile(kGpt2Pattern));
  return std::make_unique<ByteLevelPreTokenizer>(std::move(pattern), add_space, use_regex);
}

// The one character that `text` holds. Errors: DataLoss.
absl::StatusOr<char32_t> SingleCharacter(const std::string& text, absl::string_view where) {
  if (text.empty() || DecodeUtf8(text, 0).length != text.size()) {
    return absl::DataLossError(absl::StrCat(where, ": '", text, "' is not one character"));
  }
  return DecodeUtf8(text, 0).value;
}

Made MakeMetaspace(const Json& json) {
  constexpr absl::string_view kWhere = "pre_tokenizer Metaspace";
  LC_ASSIGN_OR_RETURN(const std::string replacement, RequireString(json, "replacement", kWhere));
  LC_RETURN_IF_ERROR(SingleCharacter(replacement, kWhere).status());
  LC_ASSIGN_OR_RETURN(const auto scheme, OptionalString(json, "prepend_scheme", kWhere));
  LC_ASSIGN_OR_RETURN(const bool add_space, BoolOr(json, "add_prefix_space", true, kWhere));
  LC_ASSIGN_OR_RETURN(const bool split, BoolOr(json, "split", true, kWhere));
  using Prepend = MetaspacePreTokenizer::Prepend;
  Prepend prepend = add_space ? Prepend::kAlways : Prepend::kNever;
  if (scheme == "first") prepend = Prepend::kFirst;
  if (scheme == "never") prepend = Prepend::kNever;
  if (scheme.has_value() && scheme != "first" && scheme != "never" && scheme != "always") {
    return absl::DataLossError(absl::StrCat(kWhere, ": unknown prepend_scheme '", *scheme, "'"));
  }
  return std::make_unique<MetaspacePreTokenizer>(replacement, prepend, split);
}

Made MakePunctuation(const Json& json) {
  LC_ASSIGN_OR_RETURN(const auto name,
                      OptionalString(json, "behavior", "pre_tokenizer Punctuation"));
  LC_ASSIGN_OR_RETURN(const SplitBehavior behavior, ParseSplitBehavior(name.value_or("Isolated")));
  return std::make_unique<CharacterPreTokenizer>(&IsPunctuation, behavior);
}

Made Make(const Json& json, int nesting);

Made MakeSequence(const Json& json, int nesting) {
  LC_ASSIGN_OR_RETURN(const Json* list,
                      RequireMember(json, "pretokenizers", "pre_tokenizer Sequence"));
  if (!list->is_array()) return absl::DataLossError("pre_tokenizer Sequence: not a list");
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  for (const Json& item : *list) {
    LC_ASSIGN_OR_RETURN(auto step, Make(item, nesting + 1));
    steps.push_back(std::move(step));
  }
  return std::make_unique<SequencePreTokenizer>(std::move(steps));
}

Made MakeBert() {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  steps.push_back(std::make_unique<CharacterPreTokenizer>(&IsWhiteSpace, SplitBehavior::kRemoved));
  steps.push_back(
      std::make_unique<CharacterPreTokenizer>(&IsPunctuation, SplitBehavior::kIsolated));
  return std::make_unique<SequencePreTokenizer>(std::move(steps));
}

Made Make(const Json& json, int nesting) {
  if (nesting > kMaxNesting) {
    return absl::DataLossError("pre_tokenizer: Sequences are nested too deeply");
  }
  LC_ASSIGN_OR_RETURN(const std::string type, RequireString(json, "type", "pre_tokenizer"));
  if (type == "ByteLevel") return MakeByteLevel(json);
  if (type == "Split") return MakeSplit(json);
  if (type == "Metaspace") return MakeMetaspace(json);
  if (type == "Punctuation") return MakePunctuation(json);
  if (type == "Whitespace") return std::make_unique<WhitespacePreTokenizer>();
  if (type == "BertPreTokenizer") return MakeBert();
  if (type == "Sequence") return MakeSequence(json, nesting);
  if (type == "WhitespaceSplit") {
    return std::make_unique<CharacterPreTokenizer>(&IsWhiteSpace, SplitBehavior::kRemoved);
  }
  if (type == "Digits") {
    LC_ASSIGN_OR_RETURN(const bool single,
                        BoolOr(json, "individual_digits", false, "pre_tokenizer Digits"));
    return std::make_unique<CharacterPreTokenizer>(
        &IsNumeric, single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
  }
  if (type == "CharDelimiterSplit" || type == "Delimiter") {
    LC_ASSIGN_OR_RETURN(const std::string text, RequireString(json, "delimiter", type));
    LC_ASSIGN_OR_RETURN(const char32_t delimiter, SingleCharacter(text, type));
    return std::make_unique<DelimiterPreTokenizer>(delimiter);
  }
  return absl::UnimplementedError(
      absl::StrCat("pre_tokenizer '", type, "' is not supported by this build"));
}

}  // namespace

Made MakePreTokenizer(const Json& json) {
  if (json.is_null()) {
    return std::make_unique<SequencePreTokenizer>(std::vector<std::unique_ptr<PreTokenizer>>());
  }
  return Make(json, 0);
}

}  // namespace layercake
