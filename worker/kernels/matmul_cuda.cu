#include "common/model/packing.h"
#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/matmul_grid.cuh"
#include "worker/kernels/matmul_plain.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

// Threads of a chain, each for some neighbouring outputs: a warp reads four inputs' weights, of at
// least a sector of memory each.
constexpr int kGroups = 8;
constexpr int kThreads = kChains * kGroups;

// What a thread reads: the weights of kOutputs outputs, an input at a time. `place` is which of the
// chain's kGroups threads it is.
template <typename T>
struct DenseWeights {
  static constexpr int kOutputs = Vector<T>::kCount;  // 4 or 8
  static constexpr int kUnroll = 4;                   // loads under way at once
  using Loaded = Vector<T>;

  __device__ DenseWeights(const MatMulArgs& args, int64_t first_output, int place)
      : weights(static_cast<const T*>(args.weights) +
                (args.first_panel + first_output / kPanelOutputs) * kPanelOutputs * args.inputs +
                first_output % kPanelOutputs + place * kOutputs) {}
  __device__ static int OutputOf(int place, int o) { return place * kOutputs + o; }
  __device__ void Load(int64_t k, Loaded& loaded) const {
    loaded.words = __ldg(reinterpret_cast<const uint4*>(weights + k * kPanelOutputs));
  }
  __device__ void Enter(int64_t) {}
  __device__ float Value(const Loaded& loaded, int o) const { return Widen(loaded.values[o]); }

  const T* weights;
};

// Integers of a whole panel; of the group that the thread is in, scales and zeros are at hand.
template <int kBits>
struct IntegerWeights {
  using Loaded = Integers<kBits, kPanelOutputs * kBits / 8 / kGroups>;
  static constexpr int kOutputs = Loaded::kOutputs;
  static constexpr int kUnroll = 8;

  __device__ IntegerWeights(const MatMulArgs& args, int64_t first_output, int place)
      : format(args.grouped),
        panel(args.first_panel + first_output / kPanelOutputs),
        place(place),
        weights(static_cast<const uint8_t*>(args.weights) +
                panel * args.inputs * Loaded::kRowBytes + place * Loaded::kPartBytes) {}
  __device__ static int OutputOf(int place, int o) { return Loaded::OutputOf(place, o); }
  __device__ void Load(int64_t k, Loaded& loaded) const {
    loaded.Load(weights + k * Loaded::kRowBytes);
  }
  __device__ void Enter(int64_t k) {
    if (k >> format.group_shift == group) return;
    group = k >> format.group_shift;
    const int64_t at = panel * format.groups + group;
    Loaded zeros = Loaded::Middle();
    if (format.zeros != nullptr) {
      zeros.Load(format.zeros + at * Loaded::kRowBytes + place * Loaded::kPartBytes);
    }
    const uint16_t* const scales = static_cast<const uint16_t*>(format.scales) + at * kPanelOutputs;
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      scaling[o].Set(__ldg(scales + OutputOf(place, o)), format.scale_dtype, zeros.Raised(o));
    }
  }
  __device__ float Value(const Loaded& loaded, int o) const {
    return scaling[o].Weight(loaded.Raised(o));
  }

  GroupedWeights format;
  int64_t panel;
  int place;
  const uint8_t* weights;
  int64_t group = -1;
  Scaling scaling[kOutputs];
};

// Where the chains of kRows rows of a block's outputs are joined, an element a thread.
template <class Weights, int kRows>
struct ChainSums {
  static constexpr int kElements = kRows * kGroups * Weights::kOutputs;
  static_assert(kElements <= kThreads);
  static constexpr int kRoom = 8192;  // floats
  static constexpr int kAtOnce = kRoom / kElements < kChains ? kRoom / kElements : kChains;
  float at[kAtOnce][kElements];
};

template <class Weights, int kRows>
__device__ __forceinline__ void MultiplyRows(const MatMulArgs& args, int64_t first_row) {
  constexpr int kOutputs = Weights::kOutputs;        // of a thread
  constexpr int kBlockOutputs = kGroups * kOutputs;  // of a block: 32 or 64
  constexpr int kUnroll = Weights::kUnroll;
  static_assert(kRun % kUnroll == 0);
  const int thread = static_cast<int>(threadIdx.x);
  const int chain = thread / kGroups;
  const int place = thread % kGroups;
  const int64_t first_output = int64_t{blockIdx.y} * kBlockOutputs;
  const int rows = args.rows - first_row < kRows ? static_cast<int>(args.rows - first_row) : kRows;
  Weights weights(args, first_output, place);
  const int32_t* const order = args.grouped.order;
  const float* const x = args.x + first_row * args.x_stride;

  float sums[kRows][kOutputs] = {};
  for (int64_t run = chain; run * kRun < args.inputs; run += kChains) {
#pragma unroll
    for (int at = 0; at < kRun; at += kUnroll) {
      const int64_t first = run * kRun + at;
      typename Weights::Loaded loaded[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        if (first + u < args.inputs) weights.Load(first + u, loaded[u]);
      }
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        const int64_t input = first + u;
        if (input >= args.inputs) break;
        weights.Enter(input);
        const int64_t column = order == nullptr ? input : __ldg(order + input);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          const float factor = r < rows ? x[r * args.x_stride + column] : 0.0f;
#pragma unroll
          for (int o = 0; o < kOutputs; ++o) {
            sums[r][o] = fmaf(weights.Value(loaded[u], o), factor, sums[r][o]);
          }
        }
      }
    }
  }

  // As many chains at once as there is room for.
  constexpr int kAtOnce = ChainSums<Weights, kRows>::kAtOnce;
  constexpr int kElements = ChainSums<Weights, kRows>::kElements;
  auto& shared = SharedAs<ChainSums<Weights, kRows>>();
  float total = 0;
  for (int first = 0; first < kChains; first += kAtOnce) {
    if (first > 0) __syncthreads();
    if (chain >= first && chain < first + kAtOnce) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int o = 0; o < kOutputs; o += 4) {
          *reinterpret_cast<float4*>(
              &shared.at[chain - first][r * kBlockOutputs + Weights::OutputOf(place, o)]) =
              float4{sums[r][o], sums[r][o + 1], sums[r][o + 2], sums[r][o + 3]};
        }
      }
    }
    __syncthreads();
    if (thread < kElements) {
#pragma unroll 16
      for (int c = 0; c < kAtOnce; ++c) total += shared.at[c][thread];
    }
  }
  const int64_t output = first_output + thread % kBlockOutputs;
  if (thread >= rows * kBlockOutputs || output >= args.outputs) return;
  if (args.bias != nullptr) total += args.bias[output];
  args.out[(first_row + thread / kBlockOutputs) * args.out_stride + output] = total;
}

template <class Weights, int kRows>
__global__ void __launch_bounds__(kThreads) MatMulKernel(MatMulArgs all) {
  ForEachTileOfRows<kRows>(
      all, [](const MatMulArgs& args, int64_t row) { MultiplyRows<Weights, kRows>(args, row); });
}

template <class Weights, int kRows>
int Run(const MatMulArgs& args, CUstream_st* stream) {
  constexpr int kBlockOutputs = kGroups * Weights::kOutputs;
  return Launch("matmul", MatMulKernel<Weights, kRows>, MatMulGrid(args, kRows, kBlockOutputs),
                kThreads, sizeof(ChainSums<Weights, kRows>), stream, args);
}

template <class Weights>
int AnyRows(const MatMulArgs& args, CUstream_st* stream) {
  return WithTileOfFewRows(args.rows, [&](auto tile_rows) {
    return Run<Weights, decltype(tile_rows)::value>(args, stream);
  });
}

}  // namespace

int MatMulCuda(const MatMulArgs& args, CUstream_st* stream) {
  if (SuitsTiles(args)) return MatMulTileCuda(args, stream);
  if (args.grouped.bits == 4) return AnyRows<IntegerWeights<4>>(args, stream);
  if (args.grouped.bits == 8) return AnyRows<IntegerWeights<8>>(args, stream);
  return WithStorage(
      args.dtype, [&](auto zero) { return AnyRows<DenseWeights<decltype(zero)>>(args, stream); });
}

}  // namespace layercake
