#pragma once

// The units of what a stage holds. Plain, so that device code may include it.

#include <cstdint>

namespace layercake {

// Matrices are packed in panels of this many outputs; the last panel is padded.
inline constexpr int64_t kPanelOutputs = 64;
// Every allocation is a multiple of this.
inline constexpr int64_t kAllocationBytes = 64;

constexpr int64_t NumPanels(int64_t outputs) {
  return (outputs + kPanelOutputs - 1) / kPanelOutputs;
}
constexpr int64_t PaddedOutputs(int64_t outputs) { return NumPanels(outputs) * kPanelOutputs; }
constexpr int64_t AllocatedBytes(int64_t bytes) {
  return (bytes + kAllocationBytes - 1) / kAllocationBytes * kAllocationBytes;
}

// A product of integers may take its inputs apart into bytes (worker/kernels/input_pieces.h), in
// steps of so many, which take two bytes each and at most eight beside them.
inline constexpr int64_t kStepInputs = 32;
constexpr int64_t InputPiecesBytes(int64_t rows, int64_t inputs) {
  const int64_t steps = (inputs + kStepInputs - 1) / kStepInputs;
  return AllocatedBytes(rows * steps * (2 * kStepInputs + 8));
}

}  // namespace layercake
