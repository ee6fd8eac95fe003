#pragma once

#include "worker/device/device.h"
#include "worker/device/tensor_view.h"
#include "worker/kernels/kernel_args.h"
#include "worker/kernels/kv_layer.h"
#include "worker/kernels/step_table.h"

namespace layercake {

// Makes of a layer's first product what PagedAttention reads: normalises queries and keys where the
// model has norms of heads (RmsNorm of each by itself), rotates them, and stores keys and values in
// the slices' blocks.
//   qkv: [rows, (num_heads + 2 * num_kv_heads) * head_dim] f32: queries, which are changed in
//   place, keys, which may be left as anything, and values, which stay.
//   angles: [rows, head_dim] f32, a row's cosines in the first half, its sines in the second. Pairs
//   (i, i + head_dim / 2) of every head are rotated ("NeoX" style); every product and sum is
//   rounded by itself. Keys and values are then rounded to nearest in an f16 cache.
//   step: its slices' tokens are the rows, in order; no block is written by two of them.
// On a CPU it returns when done, and is bitwise the same on every instruction set; on a CUDA device
// it runs in the stream, and what fails is in the device's status().
// REQUIRES: head_dim is even, on a CUDA device at most kMaxCudaHeadDim; block ids are below
// num_blocks and cover the slices' positions. Source: Su et al. 2021, arXiv:2104.09864.
void PrepareAttention(const TensorView& qkv, const HeadNorms& norms, const TensorView& angles,
                      const StepView& step, const KvLayer& kv, Device& device);

}  // namespace layercake
