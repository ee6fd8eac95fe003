#include <type_traits>

#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/matmul_grid.cuh"
#include "worker/kernels/matmul_tensor.cuh"
#include "worker/kernels/simt.cuh"
#include "worker/kernels/tensor_slabs.cuh"
#include "worker/kernels/tensor_weights.cuh"

namespace layercake {
namespace {

// What warps read goes through shared memory: it is copied there a slab of inputs at a time, two
// slabs before it is multiplied. Before others see them, each thread takes the inputs that it
// copied to pieces, where they are.
constexpr int kSlabSteps = kSlabInputs / kStep;
constexpr int kSlabsAhead = 2;
constexpr int kRowChunks = RowsSlab<1>::kChunks;

// How a block is cut: its warps are kPanels panels by kRuns runs of kTiles tiles of rows.
template <class WeightTiles, int kTilesOfRun, int kRunsOfRows>
struct Cut {
  using Tiles = WeightTiles;
  // Integers' groups take as many registers as their runs: of many rows none are left for totals.
  static constexpr bool kSharedTotals = Tiles::kGrouped && kTilesOfRun > 2;
  static constexpr int kPanels = 2;
  static constexpr int kTiles = kTilesOfRun;
  static constexpr int kRuns = kRunsOfRows;
  static constexpr int kRunRows = kTiles * kRowTile;
  static constexpr int kRows = kRuns * kRunRows;
  static constexpr int kThreads = kPanels * kRuns * kWarpLanes;
};

template <class C>
struct Slab {
  PanelSlab<C::Tiles::kRowBytes, kSlabInputs> panels[C::kPanels];
  RowsSlab<C::kRows> rows;
};

// What a lane's runs add up to.
template <class C>
struct RegisterTotals {
  struct Room {};

  __device__ explicit RegisterTotals(Room& /*room*/) {}
  __device__ float& At(int r, int tile, int e) { return sums.at[r][tile][e]; }

  Sums<typename C::Tiles, C::kTiles> sums = {};
};
template <class C>
struct SharedTotals {
  static constexpr int kCount = C::kTiles * C::Tiles::kOutputTiles * 4;
  struct Room {
    float of_thread[kCount][C::kThreads];
  };

  __device__ explicit SharedTotals(Room& room) : own(&room.of_thread[0][threadIdx.x]) {
    for (int i = 0; i < kCount; ++i) own[i * C::kThreads] = 0;
  }
  __device__ float& At(int r, int tile, int e) {
    return own[((r * C::Tiles::kOutputTiles + tile) * 4 + e) * C::kThreads];
  }

  float* own;
};
template <class C>
using Totals = std::conditional_t<C::kSharedTotals, SharedTotals<C>, RegisterTotals<C>>;

template <class C>
struct Shared {
  Slab<C> slabs[kSlabsAhead + 1];
  typename Totals<C>::Room totals;
};

// Goes from slab to slab, each of one run's steps.
struct Walk {
  __device__ explicit Walk(int64_t inputs) : steps(inputs), step(0), run_end(steps.of_run) {}

  __device__ bool Ended() const { return step >= steps.all; }
  __device__ int Steps() const { return run_end - step; }  // or fewer, if a slab has fewer
  __device__ bool EndsRun() const { return step + kSlabSteps >= run_end; }
  __device__ void Next() {
    step += kSlabSteps;
    if (step < run_end) return;
    step = run_end;
    run_end = run_end + steps.of_run < steps.all ? run_end + steps.of_run : steps.all;
  }

  StepCounts steps;
  int step;
  int run_end;
};

// A thread's part of bringing slabs of a block's panels and rows. Beyond the last panel or row that
// one is read again, for results that are not written; beyond the last input there are zeros.
// Offsets are of 32 bits: those are few registers.
template <class C>
struct Copies {
  using Panel = PanelSlab<C::Tiles::kRowBytes, kSlabInputs>;
  static constexpr int kPanelChunks = kSlabInputs * Panel::kChunks;
  static constexpr int kBlockChunks = C::kPanels * kPanelChunks;
  static constexpr int kPanelCopies = (kBlockChunks + C::kThreads - 1) / C::kThreads;
  static constexpr int kRowCopies = C::kRows * kRowChunks / C::kThreads;

  __device__ Copies(const MatMulArgs& args, int64_t first_row)
      : x(args, first_row),
        inputs(static_cast<int>(args.inputs)),
        weights(C::Tiles::PartOf(args, FirstPanel(), /*part=*/0)) {
    static_assert(C::kPanels == 2);
    const bool has_next = FirstPanel() + 1 < NumPanels(args.outputs);
    next_panel = has_next ? static_cast<uint32_t>(inputs) * C::Tiles::kRowBytes : 0;
    last_row = x.rows < C::kRows ? static_cast<int>(x.rows) - 1 : C::kRows - 1;
  }
  __device__ static int64_t FirstPanel() { return int64_t{blockIdx.y} * C::kPanels; }

  __device__ void Begin(const Walk& walk, Slab<C>& slab) const {
    const int first = walk.step * kStep;
    const char* const from = weights + int64_t{first} * C::Tiles::kRowBytes;
#pragma unroll 2
    for (int i = 0; i < kPanelCopies; ++i) {
      if (kBlockChunks % C::kThreads != 0 && At(i) >= kBlockChunks) break;
      const int row = At(i) % kPanelChunks / Panel::kChunks;
      const int panel = At(i) / kPanelChunks;
      CopyAsync<kChunkBytes>(&slab.panels[panel].chunks[Panel::At(row, At(i) % Panel::kChunks)],
                             from + panel * next_panel + At(i) % kPanelChunks * kChunkBytes,
                             first + row < inputs);
    }
    const int k = first + Chunk() * kLaneInputs;
    if (!x.vectors) return ReadRows(k, slab);
    const char* const from_rows = reinterpret_cast<const char*>(x.x + k);
#pragma unroll
    for (int i = 0; i < kRowCopies; ++i) {
      const int row = Row(i) < last_row ? Row(i) : last_row;
      CopyAsync<kChunkBytes>(
          &slab.rows.At(Row(i), Chunk()),
          from_rows + static_cast<uint32_t>(row) * static_cast<uint32_t>(x.stride * 4), k < inputs);
    }
  }
  __device__ void ReadRows(int k, Slab<C>& slab) const {
#pragma unroll 1
    for (int i = 0; i < kRowCopies; ++i) {
      slab.rows.At(Row(i), Chunk()).inputs = x.Read(Row(i), k);
    }
  }
  // Once the thread's copies of the slab are there.
  __device__ static void TakeApart(Slab<C>& slab) {
#pragma unroll
    for (int i = 0; i < kRowCopies; ++i) {
      auto& chunk = slab.rows.At(Row(i), Chunk());
      chunk.pieces = TakePieces(chunk.inputs);
    }
  }

  // The thread's chunks: of panels, and of rows.
  __device__ static int At(int i) { return static_cast<int>(threadIdx.x) + i * C::kThreads; }
  __device__ static int Row(int i) { return At(i) / kRowChunks; }
  __device__ static int Chunk() { return static_cast<int>(threadIdx.x) % kRowChunks; }

  InputRows x;
  int inputs;
  const char* weights;
  uint32_t next_panel;  // bytes to it
  int last_row;
};

// Adds a warp's part of a slab.
template <class C>
__device__ __forceinline__ void AddSlab(Slab<C>& slab, const Walk& walk, int warp, int lane,
                                        typename C::Tiles& weights,
                                        RunSum<typename C::Tiles, C::kTiles>& run) {
  const auto& panel = slab.panels[warp % C::kPanels];
  const int first_row = warp / C::kPanels * C::kRunRows + lane / 4;
#pragma unroll
  for (int u = 0; u < kSlabSteps; ++u) {
    if (u >= walk.Steps()) break;
    typename C::Tiles::Loaded loaded;
#pragma unroll
    for (int i = 0; i < kLaneInputs; ++i) {
      const int k = u * kStep + lane % 4 * kLaneInputs + i;
      C::Tiles::TakeRow(panel.Byte(k, lane / 4 * C::Tiles::kLaneBytes), i, loaded);
    }
    InputFragment inputs[C::kTiles];
#pragma unroll
    for (int r = 0; r < C::kTiles; ++r) {
      inputs[r] = slab.rows.At(first_row + r * kRowTile, u * 4 + lane % 4).pieces;
    }
    run.Add(weights, walk.step + u, loaded, inputs);
  }
}

template <class C>
__device__ __forceinline__ void MultiplyTile(const MatMulArgs& args, int64_t first_row) {
  using Tiles = typename C::Tiles;
  auto& shared = SharedAs<Shared<C>>();
  auto& slabs = shared.slabs;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const int first_of_warp = warp / C::kPanels * C::kRunRows;
  const int64_t panel = Copies<C>::FirstPanel() + warp % C::kPanels;
  const bool has_outputs =
      panel * kPanelOutputs < args.outputs && first_row + first_of_warp < args.rows;
  Tiles weights(args, panel, /*part=*/0, lane / 4);
  const Copies<C> copies(args, first_row);
  Walk now(args.inputs), ahead(args.inputs);
  for (int slab = 0; slab < kSlabsAhead; ++slab) {
    if (!ahead.Ended()) copies.Begin(ahead, slabs[slab]);
    EndCopies();
    ahead.Next();
  }
  WaitForCopies<kSlabsAhead - 1>();
  copies.TakeApart(slabs[0]);
  Totals<C> totals(shared.totals);
  RunSum<Tiles, C::kTiles> run;
  int at = 0;  // where the slab is
  for (; !now.Ended(); now.Next()) {
    __syncthreads();
    // Where the slab before this one was.
    if (!ahead.Ended()) copies.Begin(ahead, slabs[at == 0 ? kSlabsAhead : at - 1]);
    EndCopies();
    ahead.Next();
    if (has_outputs) AddSlab<C>(slabs[at], now, warp, lane, weights, run);
    at = at == kSlabsAhead ? 0 : at + 1;
    WaitForCopies<kSlabsAhead - 1>();
    copies.TakeApart(slabs[at]);
    if (!now.EndsRun()) continue;
    run.LeaveGroup(weights);
    ForEachSum<Tiles, C::kTiles>(
        [&](int r, int tile, int e) { totals.At(r, tile, e) += run.sums.at[r][tile][e]; });
    run = {};
  }
  if (!has_outputs) return;
  ForEachSum<Tiles, C::kTiles>([&](int r, int tile, int e) {
    const int64_t row = first_row + first_of_warp + r * kRowTile + lane % 4 * 2 + e % 2;
    const int64_t output = panel * kPanelOutputs + weights.OutputOf(lane / 4, tile, e / 2);
    if (row >= args.rows || output >= args.outputs) return;
    const float total = totals.At(r, tile, e);
    args.out[row * args.out_stride + output] =
        args.bias == nullptr ? total : total + args.bias[output];
  });
}

template <class C>
__global__ void __launch_bounds__(C::kThreads) TensorTileKernel(MatMulArgs all) {
  ForEachTileOfRows<C::kRows>(
      all, [](const MatMulArgs& args, int64_t row) { MultiplyTile<C>(args, row); });
}

template <class C>
dim3 GridOf(const MatMulArgs& args) {
  return MatMulGrid(args, C::kRows, C::kPanels * kPanelOutputs);
}

template <class C>
int Run(const MatMulArgs& args, CUstream_st* stream) {
  return Launch("matmul_tensor_tile", TensorTileKernel<C>, GridOf<C>(args), C::kThreads,
                sizeof(Shared<C>), stream, args);
}

// The larger tile reads less for each product; but every multiprocessor is to have one.
template <class Large, class Small>
int RunAny(const MatMulArgs& args, CUstream_st* stream) {
  const dim3 grid = GridOf<Large>(args);
  const int64_t blocks = int64_t{grid.x} * grid.y * grid.z;
  return blocks < args.num_multiprocessors ? Run<Small>(args, stream) : Run<Large>(args, stream);
}
template <class Tiles>
int RunDense(const MatMulArgs& args, CUstream_st* stream) {
  return RunAny<Cut<Tiles, 4, 4>, Cut<Tiles, 4, 2>>(args, stream);
}
template <class Tiles>
int RunIntegers(const MatMulArgs& args, CUstream_st* stream) {
  return RunAny<Cut<Tiles, 4, 2>, Cut<Tiles, 2, 2>>(args, stream);
}

}  // namespace

int MatMulTensorTileCuda(const MatMulArgs& args, CUstream_st* stream) {
  if (args.grouped.bits == 4) return RunIntegers<IntegerTiles<4, 4>>(args, stream);
  if (args.grouped.bits == 8) return RunIntegers<IntegerTiles<8, 4>>(args, stream);
  if (args.dtype == DType::kF16) return RunDense<DenseTiles<F16Bits, 2, 4>>(args, stream);
  return RunDense<DenseTiles<BF16Bits, 1, 4>>(args, stream);
}

}  // namespace layercake
