#include "worker/kernels/attention_rows.cuh"

namespace layercake {
namespace {

constexpr int kThreads = kChunk;  // a position each, then a dimension each
constexpr int kWarps = kThreads / kWarpLanes;

template <int kRows>
struct Shared {
  float weights[kRows][kChunk];
  RowState chunk[kRows];
  RowState all[kRows];
  float q[1];  // [kRows][head_dim]
};

// Scores of the chunk's positions, a thread each, by one chain over the dimensions.
template <typename T, int kRows>
__device__ void Score(const AttentionKernelArgs& args, const TileRows& rows, int chunk, int end,
                      Shared<kRows>& shared) {
  const KvShape& shape = args.op.kv.shape;
  const int thread = static_cast<int>(threadIdx.x);
  const int position = chunk * kChunk + thread;
  const int head_dim = static_cast<int>(shape.head_dim);
  float scores[kRows] = {};
  if (position < end) {
    const int64_t size = shape.block_size_tokens;
    const int64_t block = args.op.step.blocks[rows.tile.first_block + position / size];
    const T* const keys = static_cast<const T*>(args.op.kv.keys) +
                          (block * shape.num_kv_heads + rows.kv_head) * head_dim * size +
                          position % size;
    for (int d = 0; d < head_dim; ++d) {
      const float key = Widen(keys[d * size]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        scores[r] = fmaf(shared.q[r * head_dim + d], key, scores[r]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) shared.weights[r][thread] = scores[r] * args.op.scale;
}

// Turns scores into weights, a warp a row; positions that the row does not attend to weigh 0.
template <int kRows>
__device__ void Weigh(const TileRows& rows, int chunk, Shared<kRows>& shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  for (int r = static_cast<int>(threadIdx.x) / kWarpLanes; r < rows.count; r += kWarps) {
    const int count = rows.Limit(r) - chunk * kChunk;
    float max = -INFINITY;
    for (int i = lane; i < kChunk; i += kWarpLanes) {
      if (i < count) max = fmaxf(max, shared.weights[r][i]);
    }
    max = WarpMax(max);
    float sum = 0;
    for (int i = lane; i < kChunk; i += kWarpLanes) {
      const float weight = i < count ? Exp(shared.weights[r][i] - max) : 0.0f;
      shared.weights[r][i] = weight;
      sum += weight;
    }
    sum = WarpSum(sum);
    if (lane == 0) shared.chunk[r] = {max, sum};
  }
}

// Weighted values, some dimensions a thread, by one chain over the positions.
template <typename T, int kRows, int kDims>
__device__ void AddValues(const AttentionKernelArgs& args, const TileRows& rows, int chunk, int end,
                          const Shared<kRows>& shared, float (&sums)[kRows][kDims]) {
  const KvShape& shape = args.op.kv.shape;
  const int64_t size = shape.block_size_tokens;
  const int head_dim = static_cast<int>(shape.head_dim);
  const int first = chunk * kChunk;
  // A position that some row does not attend to may hold anything: no weight 0 makes up for it.
  const int common = rows.Limit(0);
  const int last = end < first + kChunk ? end : first + kChunk;
  for (int position = first; position < last; ++position) {
    const int64_t block = args.op.step.blocks[rows.tile.first_block + position / size];
    const T* const values =
        static_cast<const T*>(args.op.kv.values) +
        ((block * shape.num_kv_heads + rows.kv_head) * size + position % size) * head_dim;
#pragma unroll
    for (int i = 0; i < kDims; ++i) {
      const int d = static_cast<int>(threadIdx.x) + i * kThreads;
      if (d >= head_dim) continue;
      const float value = Widen(values[d]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (r >= rows.count || (position >= common && position >= rows.Limit(r))) continue;
        sums[r][i] = fmaf(shared.weights[r][position - first], value, sums[r][i]);
      }
    }
  }
}

// A block takes a tile of tokens by some heads of a kv head; and all chunks, or with `kSplit` one.
template <typename T, int kRows, int kDims, bool kSplit>
__global__ void __launch_bounds__(kThreads) PlainKernel(AttentionKernelArgs args) {
  auto& shared = SharedAs<Shared<kRows>>();
  const TileRows rows = BlockRows(args);
  const int head_dim = static_cast<int>(args.op.kv.shape.head_dim);
  const int thread = static_cast<int>(threadIdx.x);
  const int end = rows.End();
  const int first_chunk = kSplit ? static_cast<int>(blockIdx.z) : 0;
  const int last_chunk = kSplit ? first_chunk : (end - 1) / kChunk;
  if (rows.count <= 0 || first_chunk * kChunk >= end) return;

  for (int i = thread; i < kRows * head_dim; i += kThreads) {
    const int r = i / head_dim;
    shared.q[i] = r < rows.count ? rows.Query(args, r)[i % head_dim] : 0.0f;
  }
  __syncthreads();

  float all[kRows][kDims] = {};
  for (int chunk = first_chunk; chunk <= last_chunk; ++chunk) {
    Score<T, kRows>(args, rows, chunk, end, shared);
    __syncthreads();
    Weigh<kRows>(rows, chunk, shared);
    __syncthreads();
    float sums[kRows][kDims] = {};
    AddValues<T, kRows, kDims>(args, rows, chunk, end, shared, sums);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (r >= rows.count || rows.Limit(r) <= chunk * kChunk) continue;
      const Join join = JoinOf(kSplit || chunk == 0, shared.all[r], shared.chunk[r]);
#pragma unroll
      for (int i = 0; i < kDims; ++i) {
        all[r][i] = kSplit ? sums[r][i] : fmaf(all[r][i], join.keep, sums[r][i] * join.take);
      }
    }
    __syncthreads();
    if (thread < rows.count && rows.Limit(thread) > chunk * kChunk) {
      shared.all[thread] =
          JoinOf(kSplit || chunk == 0, shared.all[thread], shared.chunk[thread]).state;
    }
  }
  __syncthreads();

#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (r >= rows.count || rows.Limit(r) <= first_chunk * kChunk) continue;
    float* const out = kSplit ? rows.Part(args, r, first_chunk) : rows.Result(args, r);
#pragma unroll
    for (int i = 0; i < kDims; ++i) {
      const int d = thread + i * kThreads;
      if (d < head_dim) out[d] = kSplit ? all[r][i] : all[r][i] / shared.all[r].sum;
    }
    if (kSplit && thread == 0) {
      out[head_dim] = shared.chunk[r].max;
      out[head_dim + 1] = shared.chunk[r].sum;
    }
  }
}

// Joins the chunks that were taken apart. A block a tile by a head.
__global__ void __launch_bounds__(kThreads) JoinKernel(AttentionKernelArgs args) {
  const AttentionTile tile = args.op.step.tiles[blockIdx.x];
  const int head_dim = static_cast<int>(args.op.kv.shape.head_dim);
  const int64_t num_heads = args.op.q.cols / head_dim;
  for (int token = 0; token < tile.num_tokens; ++token) {
    const int64_t row = tile.row + token;
    const int chunks = (tile.position + token) / kChunk + 1;
    const float* const parts =
        args.op.scratch + (row * num_heads + blockIdx.y) * args.num_chunks * args.part_floats;
    for (int d = static_cast<int>(threadIdx.x); d < head_dim; d += kThreads) {
      RowState state = {0, 0};
      float value = 0;
      for (int chunk = 0; chunk < chunks; ++chunk) {
        const float* const part = parts + chunk * args.part_floats;
        const Join join = JoinOf(chunk == 0, state, {part[head_dim], part[head_dim + 1]});
        value = fmaf(value, join.keep, part[d] * join.take);
        state = join.state;
      }
      args.op.out.data[row * args.op.out.stride + blockIdx.y * head_dim + d] = value / state.sum;
    }
  }
}

template <typename T, int kRows, int kDims>
int Run(const AttentionKernelArgs& args, CUstream_st* stream) {
  return LaunchAttention(
      {PlainKernel<T, kRows, kDims, false>, PlainKernel<T, kRows, kDims, true>, kThreads,
       sizeof(Shared<kRows>) + sizeof(float) * kRows * args.op.kv.shape.head_dim, /*blocks=*/4},
      args, stream);
}

template <typename T>
int RunStored(const AttentionKernelArgs& args, CUstream_st* stream) {
  const bool wide = args.op.kv.shape.head_dim > kThreads;
  const bool few_rows = args.op.step.tile_tokens * args.heads_each <= 4;
  if (few_rows) return wide ? Run<T, 4, 2>(args, stream) : Run<T, 4, 1>(args, stream);
  return wide ? Run<T, kAttentionTileRows, 2>(args, stream)
              : Run<T, kAttentionTileRows, 1>(args, stream);
}

}  // namespace

AttentionKernelArgs ArgsForRows(const PagedAttentionArgs& op, int rows) {
  AttentionKernelArgs args;
  args.op = op;
  args.group = static_cast<int>(op.q.cols / op.kv.shape.head_dim / op.kv.shape.num_kv_heads);
  args.heads_each = args.group < rows ? args.group : rows;
  args.parts = static_cast<int>(CeilDivide(args.group, args.heads_each));
  args.tokens_each = rows / args.heads_each;
  args.token_parts = static_cast<int>(CeilDivide(op.step.tile_tokens, args.tokens_each));
  args.num_chunks = static_cast<int>(CeilDivide(op.step.num_positions, kChunk));
  args.part_floats = op.kv.shape.head_dim + 2;
  return args;
}

int LaunchAttention(const AttentionKernels& kernels, const AttentionKernelArgs& args,
                    CUstream_st* stream) {
  const KvShape& shape = args.op.kv.shape;
  const auto tiles = static_cast<unsigned>(args.op.step.num_tiles);
  const auto groups = static_cast<unsigned>(shape.num_kv_heads * args.parts * args.token_parts);
  const int64_t num_heads = args.op.q.cols / shape.head_dim;
  const int64_t needed = args.op.q.rows * num_heads * args.num_chunks * args.part_floats;
  const bool few = int64_t{tiles} * groups < int64_t{kernels.blocks} * args.op.num_multiprocessors;
  if (args.num_chunks == 1 || !few || needed > args.op.scratch_floats) {
    return Launch("attention", kernels.whole, dim3(tiles, groups), kernels.threads,
                  kernels.shared_bytes, stream, args);
  }
  const cudaError_t error = Launch("attention_parts", kernels.parts,
                                   dim3(tiles, groups, static_cast<unsigned>(args.num_chunks)),
                                   kernels.threads, kernels.shared_bytes, stream, args);
  if (error != cudaSuccess) return error;
  return Launch("attention_join", JoinKernel, dim3(tiles, static_cast<unsigned>(num_heads)),
                kThreads, 0, stream, args);
}

int PagedAttentionCuda(const PagedAttentionArgs& op, CUstream_st* stream) {
  const AttentionKernelArgs args = ArgsForRows(op, kAttentionTileRows);
  return op.kv.shape.dtype == DType::kF16 ? RunStored<F16Bits>(args, stream)
                                          : RunStored<F32Bits>(args, stream);
}

}  // namespace layercake
