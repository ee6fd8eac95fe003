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

}  // namespace layercake
