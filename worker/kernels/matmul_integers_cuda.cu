#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/integer_product.cuh"
#include "worker/kernels/matmul_grid.cuh"

// Few rows: a warp takes a chain, and four parts of it a quarter of each step's inputs.

namespace layercake {
namespace {

constexpr int kWarps = 8;  // that share the chains
constexpr int kThreads = kWarps * kWarpLanes;
constexpr int kPlaces = 8;  // of a panel, each for so many outputs:
constexpr int kOutputs = static_cast<int>(kPanelOutputs) / kPlaces;
constexpr int kParts = kWarpLanes / kPlaces;
constexpr int kQuad = 4;
constexpr int kPartInputs = static_cast<int>(kStepInputs) / kParts;  // two quads
static_assert(kPartInputs == 2 * kQuad);
constexpr int kStepVectors = InputPieces::kStepQuads / 2;
// Those of a lane once the parts are added.
constexpr int kOwn = kOutputs / kParts;

// What a lane reads of a row of weights, and what it is of its kOutputs outputs.
template <int kBits>
using RowPart = Integers<kBits, kOutputs * kBits / 8>;

// Of a lane's outputs, four inputs each.
template <int kBits>
__device__ __forceinline__ void TakeQuad(const RowPart<kBits>* rows,
                                         unsigned int (&quads)[kOutputs]) {
  unsigned int columns[4];
  if constexpr (kBits == 4) {
#pragma unroll
    for (int i = 0; i < kQuad; ++i) columns[i] = rows[i].words[0];
    Transpose(columns);
#pragma unroll
    for (int o = 0; o < 4; ++o) {
      quads[o] = columns[o] & kLowNibbles;
      quads[4 + o] = columns[o] >> 4 & kLowNibbles;
    }
  } else {
#pragma unroll
    for (int word = 0; word < 2; ++word) {
#pragma unroll
      for (int i = 0; i < kQuad; ++i) columns[i] = rows[i].words[word];
      Transpose(columns);
#pragma unroll
      for (int o = 0; o < 4; ++o) quads[4 * word + o] = columns[o] ^ kSignBits;
    }
  }
}

// Where `other` is all ones, exchanges the two; where it is 0, not.
__device__ __forceinline__ void ExchangeIf(int other, int& a, int& b) {
  const int difference = (a ^ b) & other;
  a ^= difference;
  b ^= difference;
}

// Adds the parts of a warp; each of them keeps kOwn of the outputs, from part * kOwn on.
__device__ __forceinline__ void AddParts(int part, int (&sums)[kOutputs], int (&own)[kOwn]) {
  static_assert(kParts == 4 && kOwn == 2);
#pragma unroll
  for (int o = 0; o < 2 * kOwn; ++o) {
    ExchangeIf(-(part >> 1), sums[o], sums[o + 2 * kOwn]);
    sums[o] += __shfl_xor_sync(kAllLanes, sums[o + 2 * kOwn], 2 * kPlaces);
  }
#pragma unroll
  for (int o = 0; o < kOwn; ++o) {
    ExchangeIf(-(part & 1), sums[o], sums[o + kOwn]);
    own[o] = sums[o] + __shfl_xor_sync(kAllLanes, sums[o + kOwn], kPlaces);
  }
}

// Scales and zeros of a lane's own outputs in one group; zeros as the bytes' signs have them.
template <int kBits>
struct OwnScaling {
  __device__ OwnScaling(const GroupedWeights& format, int64_t group, int output) {
    const uint16_t* const from =
        static_cast<const uint16_t*>(format.scales) + group * kPanelOutputs;
    const uint8_t* const row =
        format.zeros == nullptr ? nullptr : format.zeros + group * RowPart<kBits>::kRowBytes;
    constexpr int kByteOutputs = kPanelOutputs * kBits / 8;  // a byte's others are so many on
#pragma unroll
    for (int o = 0; o < kOwn; ++o) {
      scales[o] = WidenScale(__ldg(from + output + o), format.scale_dtype);
      zeros[o] = kBits == 8 ? 0 : 8;
      if (row == nullptr) continue;
      const int byte = __ldg(row + (output + o) % kByteOutputs);
      zeros[o] = kBits == 8 ? byte - 128 : byte >> (output / kByteOutputs * 4) & 0xf;
    }
  }

  float scales[kOwn];
  int zeros[kOwn];
};

// Where the chains of kRows rows of a panel are added.
template <int kRows>
struct ChainSums {
  static constexpr int kElements = kRows * static_cast<int>(kPanelOutputs);
  float at[kIntegerChains][kElements];
};

// One warp's chain, of the runs from `run` to before `end`.
template <int kBits, int kRows>
__device__ __forceinline__ void SumChain(const MatMulArgs& args, const InputPieces& pieces,
                                         int last_row, int run, int end,
                                         float (&sums)[kRows][kOwn]) {
  using Part = RowPart<kBits>;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int part = lane / kPlaces;
  const int place = lane % kPlaces;
  const int64_t panel = args.first_panel + blockIdx.y;
  const int steps = static_cast<int>(pieces.steps);
  const int num_runs = static_cast<int>(pieces.num_runs);
  const int steps_of_run = pieces.StepsOfRun();
  int step = run * steps_of_run;
  const int64_t first_input = int64_t{step} * kStepInputs + part * kPartInputs;
  int left = static_cast<int>(args.inputs - first_input);
  const uint8_t* weights = static_cast<const uint8_t*>(args.weights) +
                           (panel * args.inputs + first_input) * Part::kRowBytes +
                           place * Part::kPartBytes;
  const uint4* x = reinterpret_cast<const uint4*>(
      pieces.quads + int64_t{step} * InputPieces::kStepQuads + part * 2);
  for (; run < end; ++run) {
    int first[kRows][kOutputs] = {};
    int second[kRows][kOutputs] = {};
    const int run_end = (run + 1) * steps_of_run;
#pragma unroll 1
    for (; step < run_end && step < steps; ++step) {
      Part loaded[kPartInputs] = {};
#pragma unroll
      for (int i = 0; i < kPartInputs; ++i) {
        if (i < left) loaded[i].Load(weights + i * Part::kRowBytes);
      }
      unsigned int quads[2][kOutputs];
      TakeQuad<kBits>(loaded, quads[0]);
      TakeQuad<kBits>(loaded + kQuad, quads[1]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const uint4 inputs = __ldg(x + (r < last_row ? r : last_row) * steps * kStepVectors);
#pragma unroll
        for (int o = 0; o < kOutputs; ++o) {
          first[r][o] = DotBytes(quads[0][o], inputs.x, first[r][o]);
          second[r][o] = DotBytes(quads[0][o], inputs.y, second[r][o]);
          first[r][o] = DotBytes(quads[1][o], inputs.z, first[r][o]);
          second[r][o] = DotBytes(quads[1][o], inputs.w, second[r][o]);
        }
      }
      left -= static_cast<int>(kStepInputs);
      weights += kStepInputs * Part::kRowBytes;
      x += kStepVectors;
    }
    const int64_t group = (int64_t{run} << pieces.run_shift) >> args.grouped.group_shift;
    const OwnScaling<kBits> scaling(args.grouped, panel * args.grouped.groups + group,
                                    Part::OutputOf(place, part * kOwn));
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      int all[kOutputs], own[kOwn];
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) all[o] = first[r][o] * 256 + second[r][o];
      AddParts(part, all, own);
      const RunOfInputs inputs = pieces.runs[(r < last_row ? r : last_row) * num_runs + run];
      const int sum = FirstSum(inputs.sums) * 256 + SecondSum(inputs.sums);
#pragma unroll
      for (int o = 0; o < kOwn; ++o) {
        sums[r][o] = fmaf(static_cast<float>(own[o] - scaling.zeros[o] * sum),
                          scaling.scales[o] * inputs.scale, sums[r][o]);
      }
    }
  }
}

template <int kBits, int kRows>
__device__ __forceinline__ void MultiplyRows(const MatMulArgs& args, int64_t first_row) {
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarpLanes;
  const int output = RowPart<kBits>::OutputOf(lane % kPlaces, lane / kPlaces * kOwn);
  const int rows = args.rows - first_row < kRows ? static_cast<int>(args.rows - first_row) : kRows;
  const InputPieces pieces = args.pieces.From(first_row);
  const int num_runs = static_cast<int>(pieces.num_runs);
  const int runs_of_chain = static_cast<int>(RunsOfChain(num_runs));
  auto& shared = SharedAs<ChainSums<kRows>>();
#pragma unroll 1
  for (int chain = thread / kWarpLanes; chain < kIntegerChains; chain += kWarps) {
    const int run = chain * runs_of_chain;
    const int end = run + runs_of_chain < num_runs ? run + runs_of_chain : num_runs;
    float sums[kRows][kOwn] = {};
    // A row that is not there is the last one again; what comes of it is not kept.
    SumChain<kBits>(args, pieces, rows - 1, run, end, sums);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int o = 0; o < kOwn; ++o) {
        shared.at[chain][r * kPanelOutputs + output + o] = sums[r][o];
      }
    }
  }
  __syncthreads();
  for (int element = thread; element < rows * kPanelOutputs; element += kThreads) {
    const int64_t to = int64_t{blockIdx.y} * kPanelOutputs + element % kPanelOutputs;
    if (to >= args.outputs) continue;
    float total = 0;
#pragma unroll
    for (int c = 0; c < kIntegerChains; ++c) total += shared.at[c][element];
    if (args.bias != nullptr) total += args.bias[to];
    args.out[(first_row + element / kPanelOutputs) * args.out_stride + to] = total;
  }
}

template <int kBits, int kRows>
__global__ void __launch_bounds__(kThreads, kRows == 1   ? 3
                                            : kRows <= 4 ? 2
                                                         : 1) IntegersKernel(MatMulArgs all) {
  ForEachTileOfRows<kRows>(
      all, [](const MatMulArgs& args, int64_t row) { MultiplyRows<kBits, kRows>(args, row); });
}

template <int kBits, int kRows>
int Run(const MatMulArgs& args, CUstream_st* stream) {
  return Launch("matmul_integers", IntegersKernel<kBits, kRows>,
                MatMulGrid(args, kRows, kPanelOutputs), kThreads, sizeof(ChainSums<kRows>), stream,
                args);
}

template <int kBits>
int AnyRows(const MatMulArgs& args, CUstream_st* stream) {
  return WithTileOfFewRows(args.rows, [&](auto tile_rows) {
    return Run<kBits, decltype(tile_rows)::value>(args, stream);
  });
}

}  // namespace

int MatMulIntegersCuda(const MatMulArgs& args, CUstream_st* stream) {
  if (SuitsTiles(args)) return MatMulIntegerTileCuda(args, stream);
  return args.grouped.bits == 4 ? AnyRows<4>(args, stream) : AnyRows<8>(args, stream);
}

}  // namespace layercake
