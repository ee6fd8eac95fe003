#pragma once

// The `pre_tokenizer` of a tokenizer.json: cuts text into the words that BPE works on.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/text/json_fields.h"

namespace layercake {

struct TextSpan {
  size_t begin = 0;
  size_t end = 0;
};

// Non-empty words of `text`, in order; text outside them is dropped.
struct Words {
  std::string text;
  std::vector<TextSpan> spans;
  // Whether the first word stands at the start of what was given to Tokenizer::Encode.
  bool at_start = false;
};

// Immutable and thread-safe.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Cuts every word of `words` further. REQUIRES: words->text is valid UTF-8.
  // Errors: ResourceExhausted (regular expression).
  virtual absl::Status Apply(Words* words) const = 0;
};

// Reads ByteLevel, Split, Digits, Metaspace, Punctuation, Whitespace, WhitespaceSplit,
// CharDelimiterSplit, BertPreTokenizer and Sequence; null gives one that leaves the text whole.
// Errors: DataLoss (malformed); Unimplemented (another type, which is named).
absl::StatusOr<std::unique_ptr<PreTokenizer>> MakePreTokenizer(const Json& json);

}  // namespace layercake
