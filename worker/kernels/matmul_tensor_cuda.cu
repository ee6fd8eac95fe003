#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/matmul_grid.cuh"
#include "worker/kernels/matmul_tensor.cuh"
#include "worker/kernels/simt.cuh"
#include "worker/kernels/tensor_weights.cuh"

namespace layercake {
namespace {

// Up to so many rows are few.
constexpr int64_t kFewRows = 64;

// Adds the inputs of one run.
template <class Tiles, int kTiles>
__device__ void SumSegment(int segment, const InputRows& x, Tiles& weights, int lane,
                           RunSum<Tiles, kTiles>& run) {
  constexpr int kAhead = Tiles::kAhead / kTiles > 0 ? Tiles::kAhead / kTiles : 1;
  const StepCounts steps(x.inputs);
  const int last = (segment + 1) * steps.of_run;
  const int end = last < steps.all ? last : steps.all;
  const int64_t first_input = lane % 4 * kLaneInputs;
  for (int step = segment * steps.of_run; step < end; step += kAhead) {
    typename Tiles::Loaded loaded[kAhead] = {};
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (step + u >= end) break;
#pragma unroll
      for (int i = 0; i < kLaneInputs; ++i) {
        const int64_t k = int64_t{step + u} * kStep + first_input + i;
        if (k < x.inputs) weights.LoadRow(k, i, loaded[u]);
      }
    }
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (step + u >= end) break;
      const int64_t k = int64_t{step + u} * kStep + first_input;
      InputFragment inputs[kTiles];
#pragma unroll
      for (int r = 0; r < kTiles; ++r) {
        inputs[r] = TakePieces(x.Read(r * kRowTile + lane / 4, k));
      }
      run.Add(weights, step + u, loaded[u], inputs);
    }
  }
  run.LeaveGroup(weights);
}

// Each warp sums a run of inputs for the same outputs and rows.
constexpr int kThreads = kSegments * kWarpLanes;

template <class Tiles, int kTiles>
struct SegmentSums {
  static constexpr int kRows = kTiles * kRowTile;
  static constexpr int kElements = kRows * Tiles::kOutputs / kThreads;    // of a thread
  static constexpr int kAtOnce = kTiles > 2 ? kSegments / 2 : kSegments;  // in 32 KiB
  float at[kAtOnce][kRows][Tiles::kOutputs];
};

template <class Tiles, int kTiles>
__device__ __forceinline__ void MultiplyFewRows(const MatMulArgs& args, int64_t first_row) {
  using Shared = SegmentSums<Tiles, kTiles>;
  constexpr int kLaneOutputs = 2 * Tiles::kOutputTiles;
  auto& shared = SharedAs<Shared>();
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarpLanes;
  const int segment = thread / kWarpLanes;
  Tiles weights(args, blockIdx.y / Tiles::kParts, blockIdx.y % Tiles::kParts, lane / 4);
  RunSum<Tiles, kTiles> run;
  SumSegment(segment, InputRows(args, first_row), weights, lane, run);

  float totals[Shared::kElements] = {};
  for (int first = 0; first < kSegments; first += Shared::kAtOnce) {
    if (first > 0) __syncthreads();
    if (segment >= first && segment < first + Shared::kAtOnce) {
      ForEachSum<Tiles, kTiles>([&](int r, int tile, int e) {
        shared.at[segment - first][r * kRowTile + lane % 4 * 2 + e % 2]
                 [lane / 4 * kLaneOutputs + 2 * tile + e / 2] = run.sums.at[r][tile][e];
      });
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < Shared::kElements; ++i) {
      const int element = thread + i * kThreads;
      for (int s = 0; s < Shared::kAtOnce; ++s) {
        totals[i] += shared.at[s][element / Tiles::kOutputs][element % Tiles::kOutputs];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < Shared::kElements; ++i) {
    const int element = thread + i * kThreads;
    const int at = element % Tiles::kOutputs;
    const int64_t row = first_row + element / Tiles::kOutputs;
    const int64_t output = int64_t{blockIdx.y / Tiles::kParts} * kPanelOutputs +
                           weights.OutputOf(at / kLaneOutputs, at % kLaneOutputs / 2, at % 2);
    if (row >= args.rows || output >= args.outputs) continue;
    args.out[row * args.out_stride + output] =
        args.bias == nullptr ? totals[i] : totals[i] + args.bias[output];
  }
}

template <class Tiles, int kTiles>
__global__ void __launch_bounds__(kThreads) FewRowsKernel(MatMulArgs all) {
  ForEachTileOfRows<kTiles * kRowTile>(
      all, [](const MatMulArgs& args, int64_t row) { MultiplyFewRows<Tiles, kTiles>(args, row); });
}

template <class Tiles, int kTiles>
int Run(const MatMulArgs& args, CUstream_st* stream) {
  dim3 grid = MatMulGrid(args, kTiles * kRowTile, kPanelOutputs);
  grid.y *= Tiles::kParts;
  return Launch("matmul_few_rows", FewRowsKernel<Tiles, kTiles>, grid, kThreads,
                sizeof(SegmentSums<Tiles, kTiles>), stream, args);
}

// The fewest rows wait for weights alone: then every multiprocessor is to read some, even if it
// reads half a panel.
template <class Whole, class Half>
int RunAny(const MatMulArgs& args, CUstream_st* stream) {
  if (args.rows > 2 * kRowTile) return Run<Whole, 4>(args, stream);
  if (args.rows > kRowTile) return Run<Whole, 2>(args, stream);
  const int64_t panels = NumPanels(args.outputs) * args.num_groups;
  if (panels < args.num_multiprocessors) return Run<Half, 1>(args, stream);
  return Run<Whole, 1>(args, stream);
}

template <template <int kTiles> class Tiles>
int RunAny(const MatMulArgs& args, CUstream_st* stream) {
  return RunAny<Tiles<4>, Tiles<2>>(args, stream);
}

template <int kTiles>
using F16Tiles = DenseTiles<F16Bits, 2, kTiles>;
template <int kTiles>
using BF16Tiles = DenseTiles<BF16Bits, 1, kTiles>;
template <int kTiles>
using Integers4 = IntegerTiles<4, kTiles>;
template <int kTiles>
using Integers8 = IntegerTiles<8, kTiles>;

}  // namespace

int MatMulTensorCuda(const MatMulArgs& args, CUstream_st* stream) {
  if (args.rows > kFewRows) return MatMulTensorTileCuda(args, stream);
  if (args.grouped.bits == 4) return RunAny<Integers4>(args, stream);
  if (args.grouped.bits == 8) return RunAny<Integers8>(args, stream);
  if (args.dtype == DType::kF16) return RunAny<F16Tiles>(args, stream);
  return RunAny<BF16Tiles>(args, stream);
}

}  // namespace layercake
