#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

constexpr int kWarps = 4;  // of a block
constexpr int kThreads = kWarps * kWarpLanes;

// 1 / rms(head), of the warp's head: squares are summed 32 neighbours at a time, then these.
__device__ __forceinline__ float InverseRms(const float* head, int head_dim, float epsilon,
                                            int lane) {
  float total = 0;
  for (int first = 0; first < head_dim; first += kWarpLanes) {
    const float value = first + lane < head_dim ? head[first + lane] : 0.0f;
    total += WarpSum(value * value);
  }
  return 1.0f / sqrtf(total / static_cast<float>(head_dim) + epsilon);
}

// Some blocks a tile of tokens; a warp a head of a token.
template <typename T>
__global__ void __launch_bounds__(kThreads) PrepareKernel(PrepareAttentionArgs args) {
  const KvShape& shape = args.kv.shape;
  const int head_dim = static_cast<int>(shape.head_dim), half = head_dim / 2;
  const int kv_heads = static_cast<int>(shape.num_kv_heads);
  const int heads = static_cast<int>(args.qkv.cols) / head_dim;
  const int first_key = heads - 2 * kv_heads, first_value = heads - kv_heads;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int place =
      static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / kWarpLanes;
  const int token = place / heads, head = place % heads;
  const AttentionTile tile = args.step.tiles[blockIdx.x];
  if (token >= tile.num_tokens) return;
  const int64_t row = tile.row + token;
  float* const x = args.qkv.data + row * args.qkv.stride + head * head_dim;

  const int size = static_cast<int>(shape.block_size_tokens);
  const int position = tile.position + token, offset = position % size;
  const int64_t first_head =  // of the block
      args.step.blocks[tile.first_block + position / size] * shape.num_kv_heads;
  if (head >= first_value) {
    T* const values = static_cast<T*>(args.kv.values) +
                      ((first_head + head - first_value) * size + offset) * head_dim;
    for (int i = lane; i < head_dim; i += kWarpLanes) Narrow(x[i], values[i]);
    return;
  }
  const bool is_query = head < first_key;
  const float* const weight = is_query ? args.norms.queries : args.norms.keys;
  const float inverse =
      weight == nullptr ? 1.0f : InverseRms(x, head_dim, args.norms.epsilon, lane);
  const float* const angles = args.angles.data + row * args.angles.stride;
  T* const keys = is_query ? nullptr
                           : static_cast<T*>(args.kv.keys) +
                                 (first_head + head - first_key) * head_dim * size + offset;
  for (int i = lane; i < half; i += kWarpLanes) {
    float first = x[i], second = x[i + half];
    if (weight != nullptr) {
      first = first * inverse * weight[i];
      second = second * inverse * weight[i + half];
    }
    const float cosine = angles[i], sine = angles[i + half];
    const float turned_first = first * cosine - second * sine;
    const float turned_second = second * cosine + first * sine;
    if (is_query) {
      x[i] = turned_first;
      x[i + half] = turned_second;
    } else {
      Narrow(turned_first, keys[int64_t{i} * size]);
      Narrow(turned_second, keys[int64_t{i + half} * size]);
    }
  }
}

}  // namespace

int PrepareAttentionCuda(const PrepareAttentionArgs& args, CUstream_st* stream) {
  const int64_t heads = args.qkv.cols / args.kv.shape.head_dim;
  return WithStorage(args.kv.shape.dtype, [&](auto zero) {
    return Launch("prepare_attention", PrepareKernel<decltype(zero)>,
                  dim3(static_cast<unsigned>(args.step.num_tiles),
                       CeilDivide(args.step.tile_tokens * heads, kWarps)),
                  kThreads, 0, stream, args);
  });
}

}  // namespace layercake
