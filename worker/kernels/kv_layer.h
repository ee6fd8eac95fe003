#pragma once

// One layer's keys and values in blocks, and the pieces of sequences that use them.

#include <cstdint>
#include <span>

#include "common/model/dtype.h"

namespace layercake {

// How blocks are laid out; the same for every layer of a stage.
struct KvShape {
  DType dtype = DType::kF32;  // kF32 or kF16
  int64_t num_blocks = 0;
  int64_t block_size_tokens = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;

  bool operator==(const KvShape&) const = default;
};

// Borrowed.
//   keys    [num_blocks, num_kv_heads, head_dim, block_size_tokens]: positions side by
//           side, so that a vector of them is scored at once, each by its own sum over head_dim;
//   values  [num_blocks, num_kv_heads, block_size_tokens, head_dim].
struct KvLayer {
  KvShape shape;
  void* keys = nullptr;
  void* values = nullptr;

  bool operator==(const KvLayer&) const = default;
};

// Consecutive tokens of one sequence in a step. A step's rows are its slices' tokens, one slice
// after another.
struct SliceView {
  int64_t position = 0;    // of the first token in its sequence
  int64_t num_tokens = 0;  // >= 1
  // The sequence's blocks in order; covers positions 0 to position + num_tokens - 1.
  std::span<const int32_t> block_ids;
};

}  // namespace layercake
