#pragma once

#include <cstdint>
#include <span>

#include "worker/device/device.h"
#include "worker/device/tensor_view.h"

namespace layercake {

// out[i] = table[ids[i]], widened to f32.
//   table: [vocab_size, dim] f32, f16 or bf16, dense.   out: [ids.size(), dim] f32.
// Runs on the device's threads; returns when done.
// REQUIRES: ids are in [0, vocab_size).
void LookUpRows(const TensorView& table, std::span<const int32_t> ids, const TensorView& out,
                Device& device);

}  // namespace layercake
