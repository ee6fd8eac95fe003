#pragma once

// A quantized matrix as checkpoints have it.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/model/checkpoint.h"

namespace layercake {

// Integers are packed in 32-bit words, little-endian, lowest bits first; groups = inputs /
// group_inputs rounded up, words(n) = n * bits / 32.
//
//   method               weights                     zeros                      scales
//   gptq                 [words(inputs), outputs]    [groups, words(outputs)]   [groups, outputs]
//   awq (gemm)           [inputs, words(outputs)]    [groups, words(outputs)]   [groups, outputs]
//   compressed-tensors   [outputs, words(inputs)]    [words(outputs), groups]   [outputs, groups]
//
// A weight is scale * (integer - zero). gptq (but not gptq_v2) stores zeros less one; awq puts
// outputs 0, 2, 4, 6, 1, 3, 5, 7 into a word from its lowest bits up. Sources: AutoGPTQ, AutoAWQ
// and compressed-tensors.
struct QuantizedTensors {
  absl::string_view weights;
  absl::string_view zeros;  // empty: every zero is 2^(bits - 1)
  TensorEntry scales;       // f16 or bf16
  absl::string_view order;  // i32 [inputs], each input's group; empty: groups are consecutive
};

// Those of `module`, "model.layers.0.mlp.down_proj". Errors: DataLoss (one is missing or has
// another shape); Unimplemented (a size that does not divide into words; scales of f32).
// REQUIRES: config().quantization is of a method above.
absl::StatusOr<QuantizedTensors> FindQuantizedTensors(const Checkpoint& checkpoint,
                                                      const std::string& module, int64_t outputs,
                                                      int64_t inputs);

}  // namespace layercake
