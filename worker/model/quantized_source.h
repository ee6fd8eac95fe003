#pragma once

// Quantized matrices out of a checkpoint: its own, or made of its floating-point weights.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/checkpoint.h"
#include "worker/kernels/quantized_rows.h"

namespace layercake {

// A tensor's rows rounded to integers in groups of format.group_inputs inputs, each group with a
// scale in f16:
//   8 bits: scale = max |w| / 127, q = round(w / scale) + 128.
//   4 bits: scale = (max(w, 0) - min(w, 0)) / 15, zero = round(-min(w, 0) / scale),
//           q = round(w / scale) + zero.
// Quotients are of f32, by the scale as f16 holds it; ties go to even; q and zero stay in range.
// `tensor` is [outputs, inputs] and must outlive the rows; `name` is for errors.
std::unique_ptr<QuantizedRows> RoundedRows(const std::string& name, const TensorEntry& tensor,
                                           const Quantization& format);

// A part of a quantized matrix as the checkpoint has it.
struct StoredMatrix {
  std::unique_ptr<QuantizedRows> rows;
  DType scale_dtype = DType::kF16;
  std::vector<int32_t> order;           // see PackedMatrix::PackQuantized
  std::vector<absl::string_view> data;  // the tensors' bytes, for Checkpoint::DropPages
};

// `module` as quantized_tensors.h finds it; the checkpoint must outlive the rows.
// Errors: as FindQuantizedTensors; DataLoss (groups that are not as large as the config says, or
// zeros where it promises symmetry).
absl::StatusOr<StoredMatrix> ReadStoredMatrix(const Checkpoint& checkpoint,
                                              const std::string& module, int64_t outputs,
                                              int64_t inputs);

// A part of a fused matrix: outputs [begin, begin + count).
struct FusedPart {
  std::unique_ptr<QuantizedRows> rows;
  int64_t begin = 0;
  int64_t count = 0;
};

// Parts in the order of their outputs; what lies between two is 0.
std::unique_ptr<QuantizedRows> FusedRows(std::vector<FusedPart> parts);

}  // namespace layercake
