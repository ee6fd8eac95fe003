#include "coordinator/text/normalizer.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/byte_level.h"
#include "coordinator/text/pattern_json.h"
#include "coordinator/text/regex.h"
#include "coordinator/text/unicode_form.h"
#include "coordinator/text/utf8.h"

namespace layercake {
namespace {

constexpr int kMaxNesting = 16;

// Rewrites character by character: `map` appends what becomes of one.
MarkedText MapCharacters(const MarkedText& text,
                         absl::FunctionRef<void(CodePoint, absl::string_view, std::string*)> map) {
  MarkedText out;
  std::string buffer;
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeUtf8(text.text(), pos);
    buffer.clear();
    map(c, absl::string_view(text.text()).substr(pos, c.length), &buffer);
    out.Append(buffer, text.AnyUntrusted(pos, pos + c.length));
    pos += c.length;
  }
  return out;
}

class UnicodeFormNormalizer : public Normalizer {
 public:
  explicit UnicodeFormNormalizer(UnicodeForm form) : form_(form) {}
  absl::Status Apply(MarkedText* text) const override {
    ToUnicodeForm(form_, text);
    return absl::OkStatus();
  }

 private:
  const UnicodeForm form_;
};

class LowercaseNormalizer : public Normalizer {
 public:
  absl::Status Apply(MarkedText* text) const override {
    *text = MapCharacters(*text, [](CodePoint c, absl::string_view, std::string* out) {
      AppendUtf8(c.value == 0x130 ? U'i' : ToLower(c.value), out);
      if (c.value == 0x130) AppendUtf8(0x307, out);  // the one full mapping to two characters
    });
    return absl::OkStatus();
  }
};

class StripAccentsNormalizer : public Normalizer {
 public:
  absl::Status Apply(MarkedText* text) const override {
    *text = MapCharacters(*text, [](CodePoint c, absl::string_view bytes, std::string* out) {
      if (!IsMark(c.value)) absl::StrAppend(out, bytes);
    });
    return absl::OkStatus();
  }
};

class ByteLevelNormalizer : public Normalizer {
 public:
  absl::Status Apply(MarkedText* text) const override {
    *text = MapCharacters(*text, [](CodePoint, absl::string_view bytes, std::string* out) {
      AppendByteLevel(bytes, out);
    });
    return absl::OkStatus();
  }
};

class StripNormalizer : public Normalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}

  absl::Status Apply(MarkedText* text) const override {
    const std::string& bytes = text->text();
    size_t begin = 0;
    size_t end = 0;
    bool leading = left_;
    for (size_t pos = 0; pos < bytes.size();) {
      const CodePoint c = DecodeUtf8(bytes, pos);
      const bool space = IsWhiteSpace(c.value);
      pos += c.length;
      if (leading && space) begin = pos;
      if (!space) leading = false;
      if (!space || !right_) end = pos;
    }
    *text = text->Substr(begin, std::max(begin, end));
    return absl::OkStatus();
  }

 private:
  const bool left_, right_;
};

class ReplaceNormalizer : public Normalizer {
 public:
  ReplaceNormalizer(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  absl::Status Apply(MarkedText* text) const override {
    MarkedText out;
    LC_RETURN_IF_ERROR(
        pattern_.ForEachSpan(text->text(), [&](size_t begin, size_t end, bool is_match) {
          if (is_match) {
            out.Append(content_, text->AnyUntrusted(begin, end));
          } else {
            out.Append(*text, begin, end);
          }
        }));
    *text = std::move(out);
    return absl::OkStatus();
  }

 private:
  const Regex pattern_;
  const std::string content_;
};

class PrependNormalizer : public Normalizer {
 public:
  explicit PrependNormalizer(std::string prefix) : prefix_(std::move(prefix)) {}
  absl::Status Apply(MarkedText* text) const override {
    if (text->empty()) return absl::OkStatus();
    MarkedText out(prefix_);
    out.Append(*text);
    *text = std::move(out);
    return absl::OkStatus();
  }

 private:
  const std::string prefix_;
};

class SequenceNormalizer : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<Normalizer>> steps)
      : steps_(std::move(steps)) {}
  absl::Status Apply(MarkedText* text) const override {
    for (const auto& step : steps_) LC_RETURN_IF_ERROR(step->Apply(text));
    return absl::OkStatus();
  }

 private:
  const std::vector<std::unique_ptr<Normalizer>> steps_;
};

absl::StatusOr<std::unique_ptr<Normalizer>> Make(const Json& json, int nesting);

absl::StatusOr<std::unique_ptr<Normalizer>> MakeSequence(const Json& json, int nesting) {
  LC_ASSIGN_OR_RETURN(const Json* list, RequireMember(json, "normalizers", "normalizer Sequence"));
  if (!list->is_array()) return absl::DataLossError("normalizer Sequence: not a list");
  std::vector<std::unique_ptr<Normalizer>> steps;
  for (const Json& item : *list) {
    LC_ASSIGN_OR_RETURN(auto step, Make(item, nesting + 1));
    steps.push_back(std::move(step));
  }
  return std::make_unique<SequenceNormalizer>(std::move(steps));
}

absl::StatusOr<std::unique_ptr<Normalizer>> Make(const Json& json, int nesting) {
  if (nesting > kMaxNesting) {
    return absl::DataLossError("normalizer: Sequences are nested too deeply");
  }
  LC_ASSIGN_OR_RETURN(const std::string type, RequireString(json, "type", "normalizer"));
  if (type == "NFC") return std::make_unique<UnicodeFormNormalizer>(UnicodeForm::kNfc);
  if (type == "NFD") return std::make_unique<UnicodeFormNormalizer>(UnicodeForm::kNfd);
  if (type == "NFKC") return std::make_unique<UnicodeFormNormalizer>(UnicodeForm::kNfkc);
  if (type == "NFKD") return std::make_unique<UnicodeFormNormalizer>(UnicodeForm::kNfkd);
  if (type == "Lowercase") return std::make_unique<LowercaseNormalizer>();
  if (type == "StripAccents") return std::make_unique<StripAccentsNormalizer>();
  if (type == "ByteLevel") return std::make_unique<ByteLevelNormalizer>();
  if (type == "Sequence") return MakeSequence(json, nesting);
  if (type == "Strip") {
    LC_ASSIGN_OR_RETURN(const bool left, BoolOr(json, "strip_left", true, "normalizer Strip"));
    LC_ASSIGN_OR_RETURN(const bool right, BoolOr(json, "strip_right", true, "normalizer Strip"));
    return std::make_unique<StripNormalizer>(left, right);
  }
  if (type == "Replace") {
    LC_ASSIGN_OR_RETURN(Regex pattern, ReadPattern(json, "normalizer Replace"));
    LC_ASSIGN_OR_RETURN(std::string content, RequireString(json, "content", "normalizer Replace"));
    return std::make_unique<ReplaceNormalizer>(std::move(pattern), std::move(content));
  }
  if (type == "Prepend") {
    LC_ASSIGN_OR_RETURN(std::string prefix, RequireString(json, "prepend", "normalizer Prepend"));
    return std::make_unique<PrependNormalizer>(std::move(prefix));
  }
  return absl::UnimplementedError(
      absl::StrCat("normalizer '", type, "' is not supported by this build"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Normalizer>> MakeNormalizer(const Json& json) {
  if (json.is_null()) {
    return std::make_unique<SequenceNormalizer>(std::vector<std::unique_ptr<Normalizer>>());
  }
  return Make(json, 0);
}

}  // namespace layercake
