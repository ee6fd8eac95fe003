#pragma once

// What the kernels of attention share: the rows of a block, and how a row is summed. Private to
// attention*_cuda.cu.

#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {

// Positions are taken in chunks that begin at multiples of kChunk. What a row makes of a chunk
// depends on its own query, the chunk, and how many of its positions come before the row; chunks
// are then joined in order. So it is the same whether one block takes all chunks, or one each.
inline constexpr int kChunk = kAttentionChunk;

// A row so far, but for its values.
struct RowState {
  float max;
  float sum;
};

// How two parts of a row are joined: what there was counts `keep`, what comes `take`.
struct Join {
  float keep;
  float take;
  RowState state;
};

__device__ __forceinline__ Join JoinOf(bool first, RowState before, RowState next) {
  const float max = first || next.max > before.max ? next.max : before.max;
  const float keep = first ? 0.0f : Exp(before.max - max);
  const float take = Exp(next.max - max);
  return {keep, take, {max, fmaf(first ? 0.0f : before.sum, keep, next.sum * take)}};
}

struct AttentionKernelArgs {
  PagedAttentionArgs op;
  int group;            // heads that share a kv head
  int heads_each;       // of them, heads of one block
  int parts;            // blocks that a group makes
  int tokens_each;      // tokens of one block
  int token_parts;      // blocks that a tile's tokens make
  int num_chunks;       // of the longest slice, or more
  int64_t part_floats;  // of one chunk's part of a row in scratch
};

// For blocks of at most `rows` rows.
AttentionKernelArgs ArgsForRows(const PagedAttentionArgs& op, int rows);

// What the rows of a block are: `heads` heads of each token.
struct TileRows {
  AttentionTile tile;
  int kv_head;
  int first_head;
  int heads;
  int count;

  __device__ int Token(int row) const { return row / heads; }
  __device__ int Head(int row) const { return first_head + row % heads; }
  // The row attends to positions [0, Limit).
  __device__ int Limit(int row) const { return tile.position + Token(row) + 1; }
  // No row attends to a position from here on.
  __device__ int End() const { return tile.position + tile.num_tokens; }

  __device__ const float* Query(const AttentionKernelArgs& args, int row) const {
    const FloatRows& q = args.op.q;
    return q.data + (tile.row + Token(row)) * q.stride + Head(row) * args.op.kv.shape.head_dim;
  }
  // Where the row's result goes, or its part of a chunk: values, max and sum.
  __device__ float* Result(const AttentionKernelArgs& args, int row) const {
    const FloatRows& out = args.op.out;
    return out.data + (tile.row + Token(row)) * out.stride + Head(row) * args.op.kv.shape.head_dim;
  }
  __device__ float* Part(const AttentionKernelArgs& args, int row, int chunk) const {
    const int64_t num_heads = args.op.q.cols / args.op.kv.shape.head_dim;
    const int64_t head = (tile.row + Token(row)) * num_heads + Head(row);
    return args.op.scratch + (head * args.num_chunks + chunk) * args.part_floats;
  }
};

// This block's; none where the tile has fewer tokens than others.
__device__ __forceinline__ TileRows BlockRows(const AttentionKernelArgs& args) {
  TileRows rows;
  rows.tile = args.op.step.tiles[blockIdx.x];
  const int token = static_cast<int>(blockIdx.y) % args.token_parts * args.tokens_each;
  const int heads = static_cast<int>(blockIdx.y) / args.token_parts;
  const int tokens = rows.tile.num_tokens - token;
  rows.tile.row += token;
  rows.tile.position += token;
  rows.tile.num_tokens = tokens < args.tokens_each ? tokens : args.tokens_each;
  rows.kv_head = heads / args.parts;
  const int in_group = heads % args.parts * args.heads_each;
  const int left = args.group - in_group;
  rows.first_head = rows.kv_head * args.group + in_group;
  rows.heads = left < args.heads_each ? left : args.heads_each;
  rows.count = rows.tile.num_tokens * rows.heads;
  return rows;
}

// Given by position: within a template, CUDA 12.0 loses what is given by name.
struct AttentionKernels {
  void (*whole)(AttentionKernelArgs);  // blocks take all chunks
  void (*parts)(AttentionKernelArgs);  // one each, to be joined
  int threads;
  size_t shared_bytes;
  int blocks;  // that a multiprocessor holds at once, roughly
};

// Launches `whole`; or, where that would leave multiprocessors without work, `parts`, and then what
// joins them.
int LaunchAttention(const AttentionKernels& kernels, const AttentionKernelArgs& args,
                    CUstream_st* stream);

}  // namespace layercake
