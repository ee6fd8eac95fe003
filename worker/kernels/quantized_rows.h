#pragma once

// Where a quantized matrix comes from, whatever a checkpoint's layout.

#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace layercake {

// A matrix of integers, a row per output. Rows may be read by several threads at once.
class QuantizedRows {
 public:
  virtual ~QuantizedRows() = default;

  // One output's integers, in the matrix's order of inputs; its groups' scales, as bits of the
  // matrix's scale type; and their zeros, unless `zeros` is empty.
  // Errors: DataLoss (numbers that integers cannot stand for: says where).
  virtual absl::Status Read(int64_t output, std::span<uint8_t> integers, std::span<uint16_t> scales,
                            std::span<uint8_t> zeros) const = 0;
};

}  // namespace layercake
