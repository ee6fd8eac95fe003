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
  RunSum<Tiles, kTiles> run;
  SumSegment(segment, InputRows(args, first_row), weights, lane, run);

  float totals[kRows * kPanelOutputs / kFewThreads] = {};
  for (int first = 0; first < kSegments; first += kAtOnce) {
    if (first > 0) __syncthreads();
    if (segment >= first && segment < first + kAtOnce) {
      ForEachSum<kTiles>([&](int r, int tile, int e) {
        shared.at[segment - first][r * kRowTile + lane % 4 * 2 + e % 2]
                 [Tiles::OutputOf(lane / 4, tile, e / 2)] = run.sums.at[r][tile][e];
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

template <class Tiles, int kTiles>
int RunFewRows(const MatMulArgs& args, CUstream_st* stream) {
  return Launch("matmul_few_rows", FewRowsKernel<Tiles, kTiles>,
                MatMulGrid(args, kTiles * kRowTile, kPanelOutputs), kFewThreads,
                sizeof(SegmentSums<kTiles>), stream, args);
}

template <class Tiles>
int AnyFewRows(const MatMulArgs& args, CUstream_st* stream) {
  if (args.rows <= kRowTile) return RunFewRows<Tiles, 1>(args, stream);
  if (args.rows <= 2 * kRowTile) return RunFewRows<Tiles, 2>(args, stream);
  return RunFewRows<Tiles, 4>(args, stream);
}

}  // namespace

int MatMulTensorCuda(const MatMulArgs& args, CUstream_st* stream) {
  if (args.rows > kFewRows) return MatMulTensorTileCuda(args, stream);
  if (args.grouped.bits == 4) return AnyFewRows<IntegerTiles<4>>(args, stream);
  if (args.grouped.bits == 8) return AnyFewRows<IntegerTiles<8>>(args, stream);
  if (args.dtype == DType::kF16) return AnyFewRows<DenseTiles<F16Bits, 2>>(args, stream);
  return AnyFewRows<DenseTiles<BF16Bits, 1>>(args, stream);
}

}  // namespace layercake
