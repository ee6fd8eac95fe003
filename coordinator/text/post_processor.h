#pragma once

// The `post_processor` of a tokenizer.json: special tokens around an encoded text.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/text/json_fields.h"

namespace layercake {

struct PostProcessor {
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
};

// Reads ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing and Sequence, as they
// treat a single text; null adds nothing.
// Errors: DataLoss (malformed); Unimplemented (another type, which is named, or a template in
// which the text does not stand exactly once).
absl::StatusOr<PostProcessor> MakePostProcessor(const Json& json);

}  // namespace layercake
