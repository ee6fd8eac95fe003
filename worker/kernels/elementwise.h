#pragma once

// Ops that take every row, or every element, by itself. On a CPU all return when done, and are
// bitwise the same on every instruction set; a CUDA device runs them in its stream. What fails
// there is in its status().

#include "worker/device/device.h"
#include "worker/device/tensor_view.h"

namespace layercake {

// out[r] = x[r] / sqrt(mean(x[r]²) + epsilon) * weight.
//   x, out: [rows, dim] f32; `out` may be `x`.   weight: [dim] f32.   epsilon: > 0.
// Squares are summed in f32, in one fixed order for a kind of device.
// Source: Zhang & Sennrich 2019, arXiv:1910.07467.
void RmsNorm(const TensorView& x, const float* weight, float epsilon, const TensorView& out,
             Device& device);

// x += y, then out = x normalised as by RmsNorm: the same bits as one after the other.
//   y: as x.   out: as x; may be `x` or `y`.
void AddRmsNorm(const TensorView& x, const TensorView& y, const float* weight, float epsilon,
                const TensorView& out, Device& device);

// x += y.   x, y: [rows, dim] f32.
void AddInPlace(const TensorView& x, const TensorView& y, Device& device);

// gate = gate · sigmoid(gate) · up.   gate, up: [rows, dim] f32 (halves of one matrix, say).
// Source: Shazeer 2020, arXiv:2002.05202.
void SwiGluInPlace(const TensorView& gate, const TensorView& up, Device& device);

// x[i] = exp((x[i] - shift) * scale), the argument clamped to [-87.3, 88]; NaN stays NaN.
// On the calling thread.
void ExpInPlace(float* x, int64_t n, float shift, float scale, CpuIsa isa = BestCpuIsa());

}  // namespace layercake
