#pragma once

// One layer's keys and values in blocks, as the attention kernels see them.

#include <cstdint>

#include "common/model/config.h"

namespace layercake {

// How blocks are laid out; the same for every layer of a stage.
struct KvShape {
  DType dtype = DType::kF32;  // kF32 or kF16
  int64_t num_blocks = 0;
  int64_t block_size_tokens = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
};

// Borrowed. A block holds, for every kv head, keys then values:
//   keys    [num_blocks, num_kv_heads, head_dim, block_size_tokens]: one position per lane, so that
//           every score is its own sum over head_dim;
//   values  [num_blocks, num_kv_heads, block_size_tokens, head_dim].
struct KvLayer {
  KvShape shape;
  void* keys = nullptr;
  void* values = nullptr;
};

}  // namespace layercake
