#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/matmul_grid.cuh"
#include "worker/kernels/simt.cuh"
#include "worker/kernels/tensor_weights.cuh"

namespace layercake {
namespace {

// Up to so many rows are few.
constexpr int64_t kFewRows = 64;

// An input is the sum of this many bf16 pieces, to 2^-17 of itself.
constexpr int kInputPieces = 2;

// A lane's part of a row of inputs: inputs 0 1 and 2 3 of its four.
struct InputFragment {
  uint32_t pairs[2];
};

// Rows as a block or warp sees them.
struct InputRows {
  __device__ InputRows(const MatMulArgs& args, int64_t first_row)
      : x(args.x + first_row * args.x_stride),
        stride(args.x_stride),
        rows(args.rows - first_row),
        inputs(args.inputs),
        order(args.grouped.order),
        vectors(order == nullptr && stride % 4 == 0 &&
                reinterpret_cast<uintptr_t>(x) % sizeof(float4) == 0) {}

  // Inputs k to k + 3 of a row, in pieces; 0 beyond the matrix.
  __device__ void Read(int64_t row, int64_t k, InputFragment (&pieces)[kInputPieces]) const {
    float left[kLaneInputs] = {};
    const float* const from = x + row * stride;
    if (row < rows) {
      if (vectors && k + kLaneInputs <= inputs) {
        const float4 four = *reinterpret_cast<const float4*>(from + k);
        left[0] = four.x;
        left[1] = four.y;
        left[2] = four.z;
        left[3] = four.w;
      } else {
#pragma unroll
        for (int i = 0; i < kLaneInputs; ++i) {
          if (k + i < inputs) left[i] = from[order == nullptr ? k + i : __ldg(order + k + i)];
        }
      }
    }
#pragma unroll
    for (int p = 0; p < kInputPieces; ++p) {
      pieces[p].pairs[0] = TakeBF16(left[0], left[1]);
      pieces[p].pairs[1] = TakeBF16(left[2], left[3]);
    }
  }

  const float* x;
  int64_t stride;
  int64_t rows;
  int64_t inputs;
  const int32_t* order;
  bool vectors;
};

// A lane's sums of a panel by kTiles tiles of rows. Element e of a tile is of output
// OutputOf(group, tile, e / 2) and row 2 * (lane % 4) + e % 2.
template <int kTiles>
struct Sums {
  float at[kTiles][kOutputTiles][4];
};

// f(r, tile, e) for every element of a Sums.
template <int kTiles, typename F>
__device__ __forceinline__ void ForEachSum(F f) {
#pragma unroll
  for (int r = 0; r < kTiles; ++r) {
#pragma unroll
    for (int tile = 0; tile < kOutputTiles; ++tile) {
#pragma unroll
      for (int e = 0; e < 4; ++e) f(r, tile, e);
    }
  }
}

// Adds the inputs of one run to `sums`, which are 0.
template <class Tiles, int kTiles>
__device__ void SumSegment(int segment, const InputRows& x, Tiles& weights, int lane,
                           Sums<kTiles>& sums) {
  constexpr int kAhead = Tiles::kAhead / kTiles > 0 ? Tiles::kAhead / kTiles : 1;
  const int64_t steps = (x.inputs + kStep - 1) / kStep;
  const int64_t steps_of_one = (steps + kSegments - 1) / kSegments;
  const int64_t end = steps < (segment + 1) * steps_of_one ? steps : (segment + 1) * steps_of_one;
  const int64_t first_input = lane % 4 * kLaneInputs;
  const int row = lane / 4;
  int64_t group = -1;
  Sums<Tiles::kGrouped ? kTiles : 1> of_group = {};
  const auto leave_group = [&] {
    if constexpr (Tiles::kGrouped) {
      ForEachSum<kTiles>([&](int r, int tile, int e) {
        float& part = of_group.at[r][tile][e];
        sums.at[r][tile][e] = fmaf(part, weights.scale[2 * tile + e / 2], sums.at[r][tile][e]);
        part = 0;
      });
    }
  };
  for (int64_t step = segment * steps_of_one; step < end; step += kAhead) {
    typename Tiles::Loaded loaded[kAhead] = {};
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (step + u >= end) break;
#pragma unroll
      for (int i = 0; i < kLaneInputs; ++i) {
        const int64_t k = (step + u) * kStep + first_input + i;
        if (k < x.inputs) weights.LoadRow(k, i, loaded[u]);
      }
    }
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (step + u >= end) break;
      const int64_t k = (step + u) * kStep;
      if constexpr (Tiles::kGrouped) {
        const int64_t entered = k >> weights.format.group_shift;
        if (entered != group) {
          if (group >= 0) leave_group();
          weights.Enter(entered);
          group = entered;
        }
      }
      InputFragment inputs[kTiles][kInputPieces];
#pragma unroll
      for (int r = 0; r < kTiles; ++r) x.Read(r * kRowTile + row, k + first_input, inputs[r]);
#pragma unroll
      for (int tile = 0; tile < kOutputTiles; ++tile) {
        WeightFragment fragments[Tiles::kPieces];
        weights.Fragments(loaded[u], tile, fragments);
#pragma unroll
        for (int r = 0; r < kTiles; ++r) {
          float(&sum)[4] = Tiles::kGrouped ? of_group.at[r][tile] : sums.at[r][tile];
#pragma unroll
          for (int p = 0; p < Tiles::kPieces; ++p) {
            // The least of pieces times the least, 2^-16 of a product at most, is left out.
#pragma unroll
            for (int q = 0; p + q < kInputPieces; ++q) {
              MultiplyAddBF16(fragments[p].pairs, inputs[r][q].pairs, sum);
            }
          }
        }
      }
    }
  }
  if (group >= 0) leave_group();
}

// Few rows: each warp sums a run of inputs for the same outputs and rows.
constexpr int kFewThreads = kSegments * kWarpLanes;

template <int kTiles>
struct SegmentSums {
  static constexpr int kRows = kTiles * kRowTile;
  static constexpr int kAtOnce = kTiles > 2 ? kSegments / 2 : kSegments;  // in 32 KiB
  float at[kAtOnce][kRows][kPanelOutputs];
};

template <class Tiles, int kTiles>
__device__ __forceinline__ void MultiplyFewRows(const MatMulArgs& args, int64_t first_row) {
  constexpr int kRows = SegmentSums<kTiles>::kRows;
  constexpr int kAtOnce = SegmentSums<kTiles>::kAtOnce;
  auto& shared = SharedAs<SegmentSums<kTiles>>();
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarpLanes;
  const int segment = thread / kWarpLanes;
  const int64_t panel = blockIdx.y;
  Tiles weights(args, panel, lane / 4);
  Sums<kTiles> sums = {};
  SumSegment(segment, InputRows(args, first_row), weights, lane, sums);

  float totals[kRows * kPanelOutputs / kFewThreads] = {};
  for (int first = 0; first < kSegments; first += kAtOnce) {
    if (first > 0) __syncthreads();
    if (segment >= first && segment < first + kAtOnce) {
      ForEachSum<kTiles>([&](int r, int tile, int e) {
        shared.at[segment - first][r * kRowTile + lane % 4 * 2 + e % 2]
                 [Tiles::OutputOf(lane / 4, tile, e / 2)] = sums.at[r][tile][e];
      });
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kRows * kPanelOutputs / kFewThreads; ++i) {
      const int element = thread + i * kFewThreads;
      for (int s = 0; s < kAtOnce; ++s) {
        totals[i] += shared.at[s][element / kPanelOutputs][element % kPanelOutputs];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kRows * kPanelOutputs / kFewThreads; ++i) {
    const int element = thread + i * kFewThreads;
    const int64_t row = first_row + element / kPanelOutputs;
    const int64_t output = panel * kPanelOutputs + element % kPanelOutputs;
    if (row >= args.rows || output >= args.outputs) continue;
    args.out[row * args.out_stride + output] =
        args.bias == nullptr ? totals[i] : totals[i] + args.bias[output];
  }
}

template <class Tiles, int kTiles>
__global__ void __launch_bounds__(kFewThreads) FewRowsKernel(MatMulArgs all) {
  ForEachTileOfRows<SegmentSums<kTiles>::kRows>(
      all, [](const MatMulArgs& args, int64_t row) { MultiplyFewRows<Tiles, kTiles>(args, row); });
}

// Many rows: a block's warps are two panels by two runs of rows, which share what they read in the
// first-level cache.
constexpr int kManyWarps = 4;

// One warp's.
template <class Tiles, int kTiles>
__device__ __forceinline__ void MultiplyManyRows(const MatMulArgs& args, int64_t panel,
                                                 int64_t first_row) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  Tiles weights(args, panel, lane / 4);
  const InputRows x(args, first_row);
  Sums<kTiles> totals = {};
  for (int segment = 0; segment < kSegments; ++segment) {
    Sums<kTiles> sums = {};
    SumSegment(segment, x, weights, lane, sums);
    ForEachSum<kTiles>(
        [&](int r, int tile, int e) { totals.at[r][tile][e] += sums.at[r][tile][e]; });
  }
  ForEachSum<kTiles>([&](int r, int tile, int e) {
    const int64_t row = first_row + r * kRowTile + lane % 4 * 2 + e % 2;
    const int64_t output = panel * kPanelOutputs + Tiles::OutputOf(lane / 4, tile, e / 2);
    if (row >= args.rows || output >= args.outputs) return;
    args.out[row * args.out_stride + output] =
        args.bias == nullptr ? totals.at[r][tile][e] : totals.at[r][tile][e] + args.bias[output];
  });
}

template <class Tiles, int kTiles>
__global__ void __launch_bounds__(kManyWarps* kWarpLanes) ManyRowsKernel(MatMulArgs all) {
  const MatMulArgs args = OfGroup(all, blockIdx.z);
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const int64_t panel = int64_t{blockIdx.y} * 2 + warp % 2;
  if (panel * kPanelOutputs >= args.outputs) return;
  constexpr int64_t kRows = kTiles * kRowTile;
  for (int64_t run = int64_t{blockIdx.x} * 2 + warp / 2; run * kRows < args.rows;
       run += int64_t{gridDim.x} * 2) {
    MultiplyManyRows<Tiles, kTiles>(args, panel, run * kRows);
  }
}

template <class Tiles, int kTiles>
int RunFewRows(const MatMulArgs& args, CUstream_st* stream) {
  return Launch("matmul_few_rows", FewRowsKernel<Tiles, kTiles>,
                MatMulGrid(args, kTiles * kRowTile, kPanelOutputs), kFewThreads,
                sizeof(SegmentSums<kTiles>), stream, args);
}

template <class Tiles, int kTiles>
int RunManyRows(const MatMulArgs& args, CUstream_st* stream) {
  return Launch("matmul_many_rows", ManyRowsKernel<Tiles, kTiles>,
                MatMulGrid(args, 2 * kTiles * kRowTile, 2 * kPanelOutputs), kManyWarps * kWarpLanes,
                0, stream, args);
}

// kManyTiles: tiles of rows whose sums a lane has registers for.
template <class Tiles, int kManyTiles>
int AnyRows(const MatMulArgs& args, CUstream_st* stream) {
  if (args.rows <= kRowTile) return RunFewRows<Tiles, 1>(args, stream);
  if (args.rows <= 2 * kRowTile) return RunFewRows<Tiles, 2>(args, stream);
  if (args.rows <= kFewRows) return RunFewRows<Tiles, 4>(args, stream);
  return RunManyRows<Tiles, kManyTiles>(args, stream);
}

}  // namespace

int MatMulTensorCuda(const MatMulArgs& args, CUstream_st* stream) {
  if (args.grouped.bits == 4) return AnyRows<IntegerTiles<4>, 2>(args, stream);
  if (args.grouped.bits == 8) return AnyRows<IntegerTiles<8>, 2>(args, stream);
  if (args.dtype == DType::kF16) return AnyRows<DenseTiles<F16Bits, 2>, 4>(args, stream);
  return AnyRows<DenseTiles<BF16Bits, 1>, 4>(args, stream);
}

}  // namespace layercake
