#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/matmul_grid.cuh"
#include "worker/kernels/matmul_tensor.cuh"
#include "worker/kernels/simt.cuh"
#include "worker/kernels/tensor_slabs.cuh"
#include "worker/kernels/tensor_weights.cuh"

namespace layercake {
namespace {

// Up to so many rows are few.
constexpr int64_t kFewRows = 64;

// Each warp sums a run of inputs for the same outputs and rows.
constexpr int kThreads = kSegments * kWarpLanes;

// What a warp multiplies in a step, or in two if that is little. It copies that itself, some steps
// ahead, and waits for no other: so much is under way all the time, and takes no registers.
template <class Tiles, int kTiles>
struct Stage {
  static constexpr int kSteps = kTiles == 1 && Tiles::kPartBytes * kStep <= 512 ? 2 : 1;

  PanelSlab<Tiles::kPartBytes, kSteps * kStep> weights;
  float4 inputs[kSteps][kTiles][kWarpLanes];  // each lane's own
};

// As many as 8.6 and 8.9 have room for.
template <class Tiles, int kTiles>
constexpr int NumStages() {
  constexpr int kMost = (96 << 10) / kSegments / static_cast<int>(sizeof(Stage<Tiles, kTiles>));
  return kMost < 8 ? kMost : 8;
}

// A lane's part of bringing what a stage holds, from a step on.
template <class Tiles, int kTiles>
struct Copies {
  using StageOf = Stage<Tiles, kTiles>;
  using Panel = decltype(StageOf::weights);
  static constexpr int kRowsAtOnce = kWarpLanes / Panel::kChunks;

  __device__ Copies(const MatMulArgs& args, const InputRows& x, int64_t panel, int part, int lane)
      : x(x),
        lane(lane),
        weights(Tiles::PartOf(args, panel, part) + lane / Panel::kChunks * Tiles::kRowBytes +
                lane % Panel::kChunks * kChunkBytes),
        inputs(x.x + lane / 4 * x.stride + lane % 4 * kLaneInputs) {}

  __device__ void Begin(int step, StageOf& stage) const {
    const int left = static_cast<int>(x.inputs) - step * kStep;
    const char* const from = weights + int64_t{step} * (kStep * Tiles::kRowBytes);
#pragma unroll
    for (int first = 0; first < StageOf::kSteps * kStep; first += kRowsAtOnce) {
      const int row = first + lane / Panel::kChunks;
      CopyAsync<kChunkBytes>(&stage.weights.chunks[Panel::At(row, lane % Panel::kChunks)],
                             from + first * Tiles::kRowBytes, row < left);
    }
    if (!x.vectors) return ReadInputs(step, stage);
#pragma unroll
    for (int r = 0; r < kTiles; ++r) {
      const bool is_row = r * kRowTile + lane / 4 < x.rows;
      const float* const of_row = inputs + r * kRowTile * x.stride + step * kStep;
#pragma unroll
      for (int u = 0; u < StageOf::kSteps; ++u) {
        CopyAsync<kChunkBytes>(&stage.inputs[u][r][lane], of_row + u * kStep,
                               is_row && u * kStep + lane % 4 * kLaneInputs < left);
      }
    }
  }
  __device__ void ReadInputs(int step, StageOf& stage) const {
#pragma unroll 1
    for (int i = 0; i < StageOf::kSteps * kTiles; ++i) {
      const int u = i / kTiles, r = i % kTiles;
      stage.inputs[u][r][lane] =
          x.Read(r * kRowTile + lane / 4, int64_t{step + u} * kStep + lane % 4 * kLaneInputs);
    }
  }

  InputRows x;
  int lane;
  const char* weights;
  const float* inputs;
};

// Adds the inputs of one run.
template <class Tiles, int kTiles, int kStages>
__device__ void SumSegment(int segment, const Copies<Tiles, kTiles>& copies, Tiles& weights,
                           int lane, Stage<Tiles, kTiles> (&stages)[kStages],
                           RunSum<Tiles, kTiles>& run) {
  constexpr int kSteps = Stage<Tiles, kTiles>::kSteps;
  constexpr int kAhead = (kStages - 1) * kSteps;
  const StepCounts steps(copies.x.inputs);
  const int begin = segment * steps.of_run;
  const int end = begin + steps.of_run < steps.all ? begin + steps.of_run : steps.all;
#pragma unroll 1
  for (int i = 0; i < kStages - 1; ++i) {
    if (begin + i * kSteps < end) copies.Begin(begin + i * kSteps, stages[i]);
    EndCopies();
  }
  if constexpr (Tiles::kGrouped) {
    if (begin < end) weights.Fetch(weights.GroupOf(begin));
  }
  int at = 0;
  for (int step = begin; step < end; step += kSteps) {
    WaitForCopies<kStages - 2>();
    __syncwarp();
    // Where the stage before this one was.
    if (step + kAhead < end) copies.Begin(step + kAhead, stages[at == 0 ? kStages - 1 : at - 1]);
    EndCopies();
    const Stage<Tiles, kTiles>& stage = stages[at];
#pragma unroll
    for (int u = 0; u < kSteps; ++u) {
      if (step + u >= end) break;
      typename Tiles::Loaded loaded;
#pragma unroll
      for (int i = 0; i < kLaneInputs; ++i) {
        const int k = u * kStep + lane % 4 * kLaneInputs + i;
        Tiles::TakeRow(stage.weights.Byte(k, lane / 4 * Tiles::kLaneBytes), i, loaded);
      }
      InputFragment inputs[kTiles];
#pragma unroll
      for (int r = 0; r < kTiles; ++r) inputs[r] = TakePieces(stage.inputs[u][r][lane]);
      run.Add(weights, step + u, loaded, inputs);
    }
    at = at == kStages - 1 ? 0 : at + 1;
  }
  run.LeaveGroup(weights);
}

// What the warps' runs came to. Lanes that write at once are of every second row and of all groups:
// with these columns and four to spare in each row they find different banks.
template <class Tiles, int kTiles>
struct SegmentSums {
  static constexpr int kRows = kTiles * kRowTile;

  __device__ static int ColumnOf(int group, int tile, int half) {
    return (2 * tile + half) * kLaneGroups + group;
  }
  __device__ static int OutputOf(const Tiles& weights, int column) {
    const int pair = column / kLaneGroups;
    return weights.OutputOf(column % kLaneGroups, pair / 2, pair % 2);
  }

  float at[kSegments][kRows][Tiles::kOutputs + 4];
};

template <class Tiles, int kTiles>
union Shared {
  Stage<Tiles, kTiles> stages[kSegments][NumStages<Tiles, kTiles>()];
  SegmentSums<Tiles, kTiles> sums;
};

template <class Tiles, int kTiles>
__device__ __forceinline__ void MultiplyFewRows(const MatMulArgs& args, int64_t first_row) {
  using Sums = SegmentSums<Tiles, kTiles>;
  auto& shared = SharedAs<Shared<Tiles, kTiles>>();
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarpLanes;
  const int segment = thread / kWarpLanes;
  const int64_t panel = blockIdx.y / Tiles::kParts;
  const int part = static_cast<int>(blockIdx.y) % Tiles::kParts;
  Tiles weights(args, panel, part, lane / 4);
  const Copies<Tiles, kTiles> copies(args, InputRows(args, first_row), panel, part, lane);
  RunSum<Tiles, kTiles> run;
  SumSegment(segment, copies, weights, lane, shared.stages[segment], run);
  __syncthreads();  // stages are no more needed
  ForEachSum<Tiles, kTiles>([&](int r, int tile, int e) {
    const int row = r * kRowTile + lane % 4 * 2 + e % 2;
    shared.sums.at[segment][row][Sums::ColumnOf(lane / 4, tile, e / 2)] = run.sums.at[r][tile][e];
  });
  __syncthreads();
#pragma unroll
  for (int i = 0; i < Sums::kRows * Tiles::kOutputs / kThreads; ++i) {
    const int element = thread + i * kThreads;
    const int row = element / Tiles::kOutputs;
    const int column = element % Tiles::kOutputs;
    float total = 0;
    for (int s = 0; s < kSegments; ++s) total += shared.sums.at[s][row][column];
    const int64_t output = panel * kPanelOutputs + Sums::OutputOf(weights, column);
    if (first_row + row >= args.rows || output >= args.outputs) continue;
    args.out[(first_row + row) * args.out_stride + output] =
        args.bias == nullptr ? total : total + args.bias[output];
  }
}

// Of the fewest rows, larger cards' shared memory has room for two blocks.
template <class Tiles, int kTiles>
__global__ void __launch_bounds__(kThreads, kTiles == 1 ? 2 : 1) FewRowsKernel(MatMulArgs all) {
  ForEachTileOfRows<kTiles * kRowTile>(
      all, [](const MatMulArgs& args, int64_t row) { MultiplyFewRows<Tiles, kTiles>(args, row); });
}

template <class Tiles, int kTiles>
int Run(const MatMulArgs& args, CUstream_st* stream) {
  dim3 grid = MatMulGrid(args, kTiles * kRowTile, kPanelOutputs);
  grid.y *= Tiles::kParts;
  return Launch("matmul_few_rows", FewRowsKernel<Tiles, kTiles>, grid, kThreads,
                sizeof(Shared<Tiles, kTiles>), stream, args);
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

}  // namespace

int MatMulTensorCuda(const MatMulArgs& args, CUstream_st* stream) {
  if (args.rows > kFewRows) return MatMulTensorTileCuda(args, stream);
  if (args.grouped.bits == 4) return RunAny<IntegerTiles<4, 4>, IntegerTiles<4, 2>>(args, stream);
  if (args.grouped.bits == 8) return RunAny<IntegerTiles<8, 4>, IntegerTiles<8, 2>>(args, stream);
  if (args.dtype == DType::kF16) {
    return RunAny<DenseTiles<F16Bits, 2, 4>, DenseTiles<F16Bits, 2, 2>>(args, stream);
  }
  return RunAny<DenseTiles<BF16Bits, 1, 4>, DenseTiles<BF16Bits, 1, 2>>(args, stream);
}

}  // namespace layercake
