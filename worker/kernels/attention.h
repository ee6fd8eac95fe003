#pragma once

#include "worker/device/device.h"
#include "worker/device/tensor_view.h"
#include "worker/kernels/kv_layer.h"
#include "worker/kernels/step_table.h"

namespace layercake {

// Stores a step's keys and values in its slices' blocks.
//   keys, values: [rows, num_kv_heads * head_dim] f32, rotated already; rounded to nearest in an
//   f16 cache. step: its slices' tokens are the rows, in order; no block is written by two of them.
// On a CPU it returns when done; on a CUDA device it runs in the stream, and what fails is in the
// device's status().
// REQUIRES: block ids are below num_blocks and cover the slices' positions.
void StoreKv(const TensorView& keys, const TensorView& values, const StepView& step,
             const KvLayer& kv, Device& device);

// Causal attention of every row over its sequence up to itself, read from the blocks (StoreKv comes
// first).
//   q, out: [rows, num_heads * head_dim] f32, apart from each other. Heads share kv heads in groups
//   of num_heads / num_kv_heads, in order.
//   scale: of the scores; 1 / sqrt(head_dim) as a rule.
// A row's result depends on its position, its query and the blocks' content alone: bitwise not on
// the slice it came in, on the other slices, on block size, nor on the instruction set. On a CUDA
// device with tensor cores they multiply, where the cache is f16 and head_dim a multiple of 8: q
// and the weights of positions are then taken to 2^-22 of themselves. Runs as StoreKv. REQUIRES: as
// StoreKv; num_kv_heads divides num_heads. Source: Milakov & Gimelshein 2018, arXiv:1805.02867;
// Ainslie et al. 2023, arXiv:2305.13245.
void PagedAttention(const TensorView& q, const StepView& step, const KvLayer& kv, float scale,
                    const TensorView& out, Device& device);

}  // namespace layercake
