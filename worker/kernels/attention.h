#pragma once

#include "worker/device/device.h"
#include "worker/device/tensor_view.h"
#include "worker/kernels/kv_layer.h"
#include "worker/kernels/step_table.h"

namespace layercake {

// Causal attention of every row over its sequence up to itself, read from the blocks
// (PrepareAttention comes first).
//   q, out: [rows, num_heads * head_dim] f32, apart from each other. Heads share kv heads in groups
//   of num_heads / num_kv_heads, in order.
//   scale: of the scores; 1 / sqrt(head_dim) as a rule.
// A row's result depends on its position, its query and the blocks' content alone: bitwise not on
// the slice it came in, on the other slices, on block size, nor on the instruction set. On a CUDA
// device with tensor cores they multiply, where the cache is f16 and head_dim a multiple of 8: q
// and the weights of positions are then taken to 2^-22 of themselves. Runs as PrepareAttention.
// REQUIRES: as PrepareAttention; num_kv_heads divides num_heads. Source: Milakov & Gimelshein 2018,
// arXiv:1805.02867; Ainslie et al. 2023, arXiv:2305.13245.
void PagedAttention(const TensorView& q, const StepView& step, const KvLayer& kv, float scale,
                    const TensorView& out, Device& device);

}  // namespace layercake
