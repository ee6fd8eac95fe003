#pragma once

// The safetensors format: u64 header length, a JSON header, then the tensors' bytes.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/model/config.h"

namespace layercake {

// One tensor's place in a safetensors file.
struct TensorEntry {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  absl::string_view data;  // row-major, little-endian; in the file's bytes, perhaps not aligned
};

// A tensor of another dtype: packed integers, or what no weight of ours can be.
struct OtherTensor {
  std::string dtype;  // as the file calls it: "I32", "F8_E4M3"
  std::vector<int64_t> shape;
  absl::string_view data;  // as TensorEntry's; its size is not checked against the shape
};

struct SafetensorsHeader {
  std::map<std::string, TensorEntry> tensors;  // f32, f16 and bf16
  std::map<std::string, OtherTensor> others;
};

// Parses a safetensors file's header; entries point into `file`.
// Errors: DataLoss (truncated, header too long (> 100 MB) or no JSON, offsets outside the data,
// overlapping, or not the size that dtype and shape make): names the tensor and the figures.
// Source: huggingface/safetensors, README "Format".
absl::StatusOr<SafetensorsHeader> ParseSafetensors(absl::string_view file);

}  // namespace layercake
