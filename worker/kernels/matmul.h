#pragma once

#include "worker/device/buffer.h"
#include "worker/device/device.h"
#include "worker/device/tensor_view.h"
#include "worker/kernels/packed_matrix.h"

namespace layercake {

// out = x · weightsᵀ + bias.
//   x: [rows, inputs] f32.   out: [rows, outputs] f32, apart from `x`.
//   bias: f32, weights.outputs() of them, padded to whole panels; null for none.
// Where the weights are integers, w is the number they stand for, and k counts in the matrix's
// order. On a CPU every element starts at its bias (or 0) and adds x[k] * w[k] by fused
// multiply-add in f32 for k ascending, whatever `rows` is: bitwise the same on every instruction
// set. Returns when done. On a CUDA device it is 64 such chains added in order, or on
// tensor cores 8 runs of inputs in order, x taken to 2^-17 of itself and its product with an f16
// weight to 3 * 2^-17; of integers in groups of 32 inputs or more on a card with dot products of
// bytes, 16 chains of runs of inputs, x taken to 2^-16 of its run's largest, and a row that has a
// number which is not finite is NaN. That is whatever `rows` is; it runs in the device's stream.
// A device that has a cuBLASLt leaves many rows by floating-point weights to it: see
// dense_products.h; their last bits depend on `rows`.
//   scratch: of integers, InputPiecesBytes(rows, inputs) of the device's memory for the product's
//   own use; else it may be empty.
// REQUIRES: the shapes fit, rows >= 1.
void MatMul(const TensorView& x, const PackedMatrix& weights, const float* bias,
            const TensorView& out, Device& device, const Buffer& scratch = {});

// The same of every row by the matrix of the expert that `routes` gives it to.
//   x: [routes.rows(), inputs] f32.   out: [routes.rows(), outputs] f32, apart from `x`.
//   weights: of num_experts matrices, one's outputs after another's, each padded to whole panels.
void MatMulExperts(const TensorView& x, const PackedMatrix& weights, const ExpertRoutes& routes,
                   const TensorView& out, Device& device, const Buffer& scratch = {});

}  // namespace layercake
