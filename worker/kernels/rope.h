#pragma once

#include "worker/device/device.h"
#include "worker/device/tensor_view.h"

namespace layercake {

// Rotates pairs (i, i + head_dim / 2) of every head, in place ("NeoX" style).
//   x: [rows, num_heads * head_dim] f32.
//   angles: [rows, head_dim] f32, a row's cosines in the first half, its sines in the second.
// Every product and sum is rounded by itself. Runs on the device's threads; returns when done.
// REQUIRES: head_dim is even and divides x.cols.
// Source: Su et al. 2021, arXiv:2104.09864.
void ApplyRope(const TensorView& x, const TensorView& angles, Device& device);

}  // namespace layercake
