#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/matmul_grid.cuh"
#include "worker/kernels/matmul_plain.cuh"
#include "worker/kernels/tile_weights.cuh"

// The plain product of many rows: a block takes up to 128 rows of a panel and all chains one after
// another, a run at a time, so that weights are read and unpacked once for all of its rows.

namespace layercake {
namespace {

// A thread's part of its warp's rows by the panel: rows 0 to 3 and 16 to 19 from 4 * (lane / 8) on,
// outputs 0 to 3 and 32 to 35 from 4 * (lane % 8) on. So a warp reads whole vectors of shared
// memory, of different banks or all the same: two for 32 products.
constexpr int kThreadRows = 8;
constexpr int kThreadOutputs = 8;

__device__ int RowOf(int lane, int r) {
  return r / kVector * (kWarpRows / 2) + lane / 8 * kVector + r % kVector;
}
__device__ int OutputOf(int lane, int o) {
  return o / kVector * (kPanel / 2) + lane % 8 * kVector + o % kVector;
}

// Of x, a thread takes half a run of two rows, so that a warp reads whole sectors.
template <int kWarps>
struct RowsOfX {
  static constexpr int kRows = 2;
  static constexpr int kApart = kWarps * kWarpRows / kRows;
  struct Loaded {
    float at[kRows][kVector];
  };

  __device__ RowsOfX(const MatMulArgs& args, int64_t first_row)
      : order(args.grouped.order),
        inputs(static_cast<int>(args.inputs)),
        input(static_cast<int>(threadIdx.x) % 2 * kVector),
        vectors(order == nullptr && args.x_stride % kVector == 0 &&
                reinterpret_cast<uintptr_t>(args.x) % sizeof(float4) == 0) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      // The last one again where there are fewer; what comes of it is not kept.
      const int64_t wanted = first_row + static_cast<int>(threadIdx.x) / 2 + i * kApart;
      from[i] = args.x + (wanted < args.rows ? wanted : args.rows - 1) * args.x_stride + input;
    }
  }
  __device__ void Go(int step) {
    input += step;
#pragma unroll
    for (int i = 0; i < kRows; ++i) from[i] += step;
  }
  __device__ void Load(Loaded& loaded) const {
    if (vectors && input + kVector <= inputs) {
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const float4 four = __ldg(reinterpret_cast<const float4*>(from[i]));
        loaded.at[i][0] = four.x;
        loaded.at[i][1] = four.y;
        loaded.at[i][2] = four.z;
        loaded.at[i][3] = four.w;
      }
      return;
    }
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
      const bool there = input + j < inputs;
      const int away = there && order != nullptr ? __ldg(order + input + j) - input : j;
#pragma unroll
      for (int i = 0; i < kRows; ++i) loaded.at[i][j] = there ? __ldg(from[i] + away) : 0.0f;
    }
  }
  __device__ static void Store(const Loaded& loaded, Tile<kWarps>& tile) {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kVector; ++j) {
        tile.x[thread % 2 * kVector + j][thread / 2 + i * kApart] = loaded.at[i][j];
      }
    }
  }

  const float* from[kRows];
  const int32_t* order;
  int inputs;
  int input;
  bool vectors;
};

struct Sums {
  float at[kThreadRows][kThreadOutputs];
};

__device__ __forceinline__ void LoadVector(const float* from, float* to) {
  const float4 four = *reinterpret_cast<const float4*>(from);
  to[0] = four.x;
  to[1] = four.y;
  to[2] = four.z;
  to[3] = four.w;
}

// Adds a run for the warp's rows, which begin at `first_row` of the tile.
template <int kWarps>
__device__ __forceinline__ void AddRun(const Tile<kWarps>& tile, int first_row, int lane,
                                       Sums& sums) {
#pragma unroll
  for (int k = 0; k < kRun; ++k) {
    float x[kThreadRows], weights[kThreadOutputs];
#pragma unroll
    for (int i = 0; i < kThreadRows; i += kVector) {
      LoadVector(&tile.x[k][first_row + RowOf(lane, i)], x + i);
      LoadVector(&tile.weights[k][OutputOf(lane, i)], weights + i);
    }
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) {
#pragma unroll
      for (int o = 0; o < kThreadOutputs; ++o) {
        sums.at[r][o] = fmaf(weights[o], x[r], sums.at[r][o]);
      }
    }
  }
}

template <int kWarps, class Weights>
__device__ __forceinline__ void MultiplyTile(const MatMulArgs& args, int64_t tile_row) {
  Tile<kWarps>* const tiles = &SharedAs<Tile<kWarps>>();  // two, in turn
  const int64_t panel = blockIdx.y;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  // In the last tile some have no rows: of other schedulers in every block.
  const int part = (static_cast<int>(threadIdx.x) / kWarpLanes + static_cast<int>(panel)) % kWarps;
  const int64_t first_row = tile_row + part * kWarpRows;
  const bool has_rows = first_row < args.rows;
  const int runs = static_cast<int>((args.inputs + kRun - 1) / kRun);
  const int chains = runs < kChains ? runs : kChains;
  RowsOfX<kWarps> x(args, tile_row);
  Weights weights(args, panel);
  typename RowsOfX<kWarps>::Loaded loaded_x;
  typename Weights::Loaded loaded_weights;
  const auto load = [&] {
    x.Load(loaded_x);
    weights.Load(loaded_weights);
  };
  const auto store = [&](Tile<kWarps>& tile) {
    x.Store(loaded_x, tile);
    weights.Store(loaded_weights, tile);
    __syncthreads();
  };

  Sums sums = {};  // of the chain
  Sums totals = {};
  load();
  store(tiles[0]);
  int chain = 0;
  int run = 0;
  for (int at = 0; chain < chains; at ^= 1) {
    int next = run + kChains;
    const bool ends = next >= runs;
    if (ends) next = ++chain;
    if (chain < chains) {
      const int step = (next - run) * kRun;
      x.Go(step);
      weights.Go(step);
      load();
    }
    run = next;
    if (has_rows) {
      AddRun(tiles[at], part * kWarpRows, lane, sums);
      if (ends) {
#pragma unroll
        for (int r = 0; r < kThreadRows; ++r) {
#pragma unroll
          for (int o = 0; o < kThreadOutputs; ++o) totals.at[r][o] += sums.at[r][o];
        }
        sums = {};
      }
    }
    if (chain < chains) store(tiles[at ^ 1]);
  }

  const int64_t first_output = panel * kPanelOutputs;
  float bias[kThreadOutputs];
#pragma unroll
  for (int o = 0; o < kThreadOutputs; ++o) {
    // -0 leaves every number as it is.
    bias[o] = args.bias == nullptr ? -0.0f : args.bias[first_output + OutputOf(lane, o)];
  }
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r) {
    const int64_t row = first_row + RowOf(lane, r);
    if (row >= args.rows) continue;
    float* const out = args.out + row * args.out_stride + first_output;
#pragma unroll
    for (int o = 0; o < kThreadOutputs; ++o) {
      const int output = OutputOf(lane, o);
      if (first_output + output < args.outputs) out[output] = totals.at[r][o] + bias[o];
    }
  }
}

// Two of a scheduler: a thread has nearly all the registers there can be, half of them for sums.
constexpr int kWarpsOfMultiprocessor = 8;

template <int kWarps, class Weights>
__global__ void __launch_bounds__(kWarps* kWarpLanes, kWarpsOfMultiprocessor / kWarps)
    TileKernel(MatMulArgs all) {
  ForEachTileOfRows<kWarps * kWarpRows>(
      all, [](const MatMulArgs& args, int64_t row) { MultiplyTile<kWarps, Weights>(args, row); });
}

template <int kWarps, class Weights>
int Run(const MatMulArgs& args, CUstream_st* stream) {
  return Launch("matmul_tile", TileKernel<kWarps, Weights>,
                MatMulGrid(args, kWarps * kWarpRows, kPanelOutputs), kWarps * kWarpLanes,
                2 * sizeof(Tile<kWarps>), stream, args);
}

template <int kWarps>
int AnyWeights(const MatMulArgs& args, CUstream_st* stream) {
  if (args.grouped.bits == 4) return Run<kWarps, IntegerTile<4, kWarps>>(args, stream);
  if (args.grouped.bits == 8) return Run<kWarps, IntegerTile<8, kWarps>>(args, stream);
  return WithStorage(args.dtype, [&](auto zero) {
    return Run<kWarps, DenseTile<decltype(zero), kWarps>>(args, stream);
  });
}

}  // namespace

bool SuitsTiles(const MatMulArgs& args) {
  if (args.grouped.bits != 0 && int64_t{1} << args.grouped.group_shift < kRun) return false;
  // Below, more than half of a warp's rows would not be there.
  constexpr int64_t kFewRows = kWarpRows / 2;
  // A warp takes all inputs of its rows and panel, and two to a multiprocessor are as fast as
  // blocks of few rows, whose warps share the inputs.
  constexpr int64_t kRowsOfPanels = 2 * kWarpRows;
  const int64_t rows = TypicalRows(args);
  return rows > kFewRows && rows * NumPanels(args.outputs) * args.num_groups >=
                                kRowsOfPanels * args.num_multiprocessors;
}

int MatMulTileCuda(const MatMulArgs& args, CUstream_st* stream) {
  const int64_t rows = TypicalRows(args);
  if (rows <= kWarpRows) return AnyWeights<1>(args, stream);
  if (rows <= 2 * kWarpRows) return AnyWeights<2>(args, stream);
  return AnyWeights<4>(args, stream);
}

}  // namespace layercake
