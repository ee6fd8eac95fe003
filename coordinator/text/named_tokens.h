#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace layercake {

// The special tokens that a model directory names: "bos_token" -> "<s>" and so on, from
// tokenizer_config.json and, for those it leaves out, special_tokens_map.json. Both are optional.
// Errors: DataLoss (a file is malformed).
absl::StatusOr<std::map<std::string, std::string>> ReadNamedTokens(const std::string& model_dir);

}  // namespace layercake
