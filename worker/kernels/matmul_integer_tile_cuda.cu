#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/integer_product.cuh"
#include "worker/kernels/matmul_grid.cuh"

// Many rows: a block takes 16 rows of a panel with each of its warps and all inputs step by step,
// so that weights are read, unpacked and transposed once for all of its rows.

namespace layercake {
namespace {

constexpr int kPanel = static_cast<int>(kPanelOutputs);
constexpr int kVector = 4;  // words that are read or stored at once
constexpr int kStepQuads = InputPieces::kStepQuads;
// Of the warp's rows and the panel, a thread has rows lane / 8 + 0, 4, 8, 12 and outputs 0 to 3 and
// 32 to 35 from 4 * (lane % 8) on.
constexpr int kWarpRows = 16;
constexpr int kThreadRows = 4;
constexpr int kThreadOutputs = 8;

__device__ int RowOf(int lane, int r) { return r * (kWarpRows / kThreadRows) + lane / 8; }
__device__ int OutputOf(int lane, int o) {
  return o / kVector * (kPanel / 2) + lane % 8 * kVector + o % kVector;
}

// A step in shared memory. A vector of x is two InputQuads; rows are one more vector apart, so that
// those which a warp reads at once are of different banks.
template <int kWarps>
struct Step {
  static constexpr int kRows = kWarps * kWarpRows;
  static constexpr int kXVectors = kStepQuads / 2;
  uint4 x[kRows][kXVectors + 1];
  unsigned int weights[kStepQuads][kPanelOutputs];
  float scales[kPanelOutputs];
  float zeros[kPanelOutputs];
  RunOfInputs runs[kRows];
};

// Inputs and their runs, from global memory by way of registers to shared.
template <int kWarps>
struct XOfStep {
  using To = Step<kWarps>;
  static constexpr int kThreads = kWarps * kWarpLanes;
  static constexpr int kCount = To::kRows * To::kXVectors / kThreads;
  static_assert(kThreads == 2 * To::kRows);  // a run of inputs for every other thread

  // The last row again where there are fewer; what comes of it is not kept.
  __device__ XOfStep(const MatMulArgs& args, int64_t tile_row)
      : run_shift(args.pieces.run_shift - InputPieces::kMinRunShift) {
    const int thread = static_cast<int>(threadIdx.x);
    const auto row_of = [&](int row) {
      return tile_row + row < args.rows ? tile_row + row : args.rows - 1;
    };
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int item = thread + i * kThreads;
      from[i] =
          reinterpret_cast<const uint4*>(args.pieces.quads + row_of(item / To::kXVectors) *
                                                                 args.pieces.steps * kStepQuads) +
          item % To::kXVectors;
    }
    runs = args.pieces.runs + row_of(thread / 2) * args.pieces.num_runs;
  }
  __device__ void Load(int step) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) vectors[i] = __ldg(from[i] + step * To::kXVectors);
    run = runs[step >> run_shift];
  }
  __device__ void Store(To& to) const {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int item = thread + i * kThreads;
      to.x[item / To::kXVectors][item % To::kXVectors] = vectors[i];
    }
    if (thread % 2 == 0) to.runs[thread / 2] = run;
  }

  const uint4* from[kCount];
  const RunOfInputs* runs;
  int run_shift;  // of steps
  uint4 vectors[kCount];
  RunOfInputs run;
};

// Weights likewise: a thread takes four outputs of four inputs, of 4 bits less their zeros.
template <int kBits, int kWarps>
struct WeightsOfStep {
  using Four = Integers<kBits, 4>;
  static constexpr int kPlaces = kPanel / kVector;
  static constexpr int kItems = kStepQuads * kPlaces;
  static constexpr int kThreads = kWarps * kWarpLanes;
  static constexpr int kCount = kItems / kThreads;
  static_assert(kItems % kThreads == 0 && kThreads % kPlaces == 0 && kThreads >= kPanel);
  static constexpr int kQuad = 4;
  static constexpr int kQuadsApart = kThreads / kPlaces;

  __device__ WeightsOfStep(const MatMulArgs& args, int64_t panel)
      : from(static_cast<const uint8_t*>(args.weights)),
        zeros(args.grouped.zeros),
        scales(static_cast<const uint16_t*>(args.grouped.scales)),
        inputs(static_cast<int>(args.inputs) - FirstQuad() * kQuad),
        group_shift(args.grouped.group_shift < 31 ? args.grouped.group_shift : 31),
        scale_dtype(args.grouped.scale_dtype) {
    const int output = static_cast<int>(threadIdx.x) % kPanel;
    const int byte = kVector * (kBits == 8 ? Place() : Place() % (kPlaces / 2));
    panel += args.first_panel;
    from += (panel * args.inputs + FirstQuad() * kQuad) * Four::kRowBytes + byte;
    scales += panel * args.grouped.groups * kPanel + output;
    if (zeros == nullptr) return;
    zeros += panel * args.grouped.groups * Four::kRowBytes + (kBits == 8 ? output : byte);
  }
  __device__ static int Place() { return static_cast<int>(threadIdx.x) % kPlaces; }
  __device__ static int FirstQuad() { return static_cast<int>(threadIdx.x) / kPlaces; }
  __device__ void Load(int step) {
    const int first = step * static_cast<int>(kStepInputs);
    const uint8_t* const rows = from + int64_t{first} * Four::kRowBytes;
#pragma unroll
    for (int item = 0; item < kCount; ++item) {
#pragma unroll
      for (int i = 0; i < kQuad; ++i) {
        const int k = item * kQuadsApart * kQuad + i;
        loaded[item][i] = 0;
        if (first + k < inputs) loaded[item][i] = Word(rows + k * Four::kRowBytes);
      }
    }
    const int64_t group = first >> group_shift;
    scale = __ldg(scales + group * kPanel);
    zero = kBits == 8 ? 0x80 : 0x88888888;
    if (zeros == nullptr) return;
    const uint8_t* const of_group = zeros + group * Four::kRowBytes;
    zero = kBits == 8 ? __ldg(of_group) : Word(of_group);
  }
  __device__ void Store(Step<kWarps>& to) const {
#pragma unroll
    for (int item = 0; item < kCount; ++item) {
      unsigned int columns[kVector];
#pragma unroll
      for (int i = 0; i < kQuad; ++i) columns[i] = loaded[item][i];
      Transpose(columns);
#pragma unroll
      for (int o = 0; o < kVector; ++o) {
        if constexpr (kBits == 8) {
          columns[o] ^= kSignBits;
        } else {
          // Each byte's subtraction by itself: from 128 more than the integer.
          const int shift = Place() / (kPlaces / 2) * 4;
          const unsigned int off = __byte_perm(zero >> shift & kLowNibbles, 0, 0x1111 * o);
          columns[o] = (((columns[o] >> shift & kLowNibbles) | kSignBits) - off) ^ kSignBits;
        }
      }
      *reinterpret_cast<uint4*>(&to.weights[FirstQuad() + item * kQuadsApart][Place() * kVector]) =
          uint4{columns[0], columns[1], columns[2], columns[3]};
    }
    const int output = static_cast<int>(threadIdx.x);
    if (output >= kPanel) return;
    to.scales[output] = WidenScale(scale, scale_dtype);
    if constexpr (kBits == 8) to.zeros[output] = static_cast<float>(static_cast<int>(zero) - 128);
  }
  __device__ static unsigned int Word(const uint8_t* from) {
    return __ldg(reinterpret_cast<const unsigned int*>(from));
  }

  const uint8_t* from;
  const uint8_t* zeros;
  const uint16_t* scales;
  int inputs;  // from this thread's first on
  int group_shift;
  DType scale_dtype;
  unsigned int loaded[kCount][kQuad];
  unsigned int zero;  // of 8 bits one output's, of 4 bits eight
  uint16_t scale;
};

// 1.5 * 2^23 + i, whose bits are i more than its own for |i| < 2^22: so that integers need not be
// converted, which is slow.
constexpr float kRaise = 0x1.8p+23f;
constexpr int kRaiseBits = 0x4b400000;

struct Sums {
  __device__ void Clear() {
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) {
#pragma unroll
      for (int o = 0; o < kThreadOutputs; ++o) first[r][o] = second[r][o] = kRaiseBits;
    }
  }

  int first[kThreadRows][kThreadOutputs];
  int second[kThreadRows][kThreadOutputs];
};

template <typename T>
__device__ __forceinline__ void LoadOutputs(const T (&from)[kPanel], int lane,
                                            T (&to)[kThreadOutputs]) {
  struct alignas(16) Four {
    T at[kVector];
  };
#pragma unroll
  for (int i = 0; i < kThreadOutputs; i += kVector) {
    const Four four = *reinterpret_cast<const Four*>(&from[OutputOf(lane, i)]);
#pragma unroll
    for (int o = 0; o < kVector; ++o) to[i + o] = four.at[o];
  }
}

// Adds a step for the warp's rows, which begin at `first_row` of the tile.
template <int kWarps>
__device__ __forceinline__ void AddStep(const Step<kWarps>& step, int first_row, int lane,
                                        Sums& sums) {
#pragma unroll
  for (int pair = 0; pair < kStepQuads / 2; ++pair) {
    uint4 x[kThreadRows];
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) x[r] = step.x[first_row + RowOf(lane, r)][pair];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      unsigned int weights[kThreadOutputs];
      LoadOutputs(step.weights[2 * pair + i], lane, weights);
#pragma unroll
      for (int r = 0; r < kThreadRows; ++r) {
#pragma unroll
        for (int o = 0; o < kThreadOutputs; ++o) {
          sums.first[r][o] = DotBytes(weights[o], i == 0 ? x[r].x : x[r].z, sums.first[r][o]);
          sums.second[r][o] = DotBytes(weights[o], i == 0 ? x[r].y : x[r].w, sums.second[r][o]);
        }
      }
    }
  }
}

// Adds a run, which ends with `step`, to its chain. Where zeros are not yet in the sums, they are
// taken off here; all is exact but the sum of both pieces, which is rounded once.
template <int kWarps, bool kZeros>
__device__ __forceinline__ void AddRun(const Step<kWarps>& step, int first_row, int lane,
                                       const Sums& sums,
                                       float (&chain)[kThreadRows][kThreadOutputs]) {
  float scales[kThreadOutputs], zeros[kThreadOutputs];
  LoadOutputs(step.scales, lane, scales);
  if constexpr (kZeros) LoadOutputs(step.zeros, lane, zeros);
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r) {
    const RunOfInputs run = step.runs[first_row + RowOf(lane, r)];
    const float first_sum = static_cast<float>(FirstSum(run.sums));
    const float second_sum = static_cast<float>(SecondSum(run.sums));
#pragma unroll
    for (int o = 0; o < kThreadOutputs; ++o) {
      float first = __int_as_float(sums.first[r][o]) - kRaise;
      float second = __int_as_float(sums.second[r][o]) - kRaise;
      if constexpr (kZeros) {
        first = fmaf(-zeros[o], first_sum, first);
        second = fmaf(-zeros[o], second_sum, second);
      }
      chain[r][o] = fmaf(fmaf(first, 256.0f, second), scales[o] * run.scale, chain[r][o]);
    }
  }
}

template <int kBits, bool kZeros, int kWarps>
__device__ __forceinline__ void MultiplyTile(const MatMulArgs& args, int64_t tile_row) {
  Step<kWarps>* const shared = &SharedAs<Step<kWarps>>();  // two, in turn
  const int64_t panel = blockIdx.y;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  // In the last tile some have no rows: of other schedulers in every block.
  const int part = (static_cast<int>(threadIdx.x) / kWarpLanes + static_cast<int>(panel)) % kWarps;
  const int tile_first = part * kWarpRows;
  const bool has_rows = tile_row + tile_first < args.rows;
  const int steps = static_cast<int>(args.pieces.steps);
  const int steps_of_run = args.pieces.StepsOfRun();
  const int steps_of_chain = steps_of_run * static_cast<int>(RunsOfChain(args.pieces.num_runs));
  XOfStep<kWarps> x(args, tile_row);
  WeightsOfStep<kBits, kWarps> weights(args, panel);
  const auto store = [&](Step<kWarps>& to) {
    x.Store(to);
    weights.Store(to);
    __syncthreads();
  };

  Sums sums;
  sums.Clear();
  float chain[kThreadRows][kThreadOutputs] = {};
  float totals[kThreadRows][kThreadOutputs] = {};
  x.Load(0);
  weights.Load(0);
  store(shared[0]);
  int run_end = steps_of_run;
  int chain_end = steps_of_chain;
  for (int step = 0; step < steps;) {
    const Step<kWarps>& at = shared[step % 2];
    if (++step < steps) {
      x.Load(step);
      weights.Load(step);
    }
    if (has_rows) {
      AddStep(at, tile_first, lane, sums);
      if (step == run_end || step == steps) {
        AddRun<kWarps, kZeros>(at, tile_first, lane, sums, chain);
        sums.Clear();
        run_end += steps_of_run;
      }
      if (step == chain_end || step == steps) {
#pragma unroll
        for (int r = 0; r < kThreadRows; ++r) {
#pragma unroll
          for (int o = 0; o < kThreadOutputs; ++o) {
            totals[r][o] += chain[r][o];
            chain[r][o] = 0;
          }
        }
        chain_end += steps_of_chain;
      }
    }
    if (step < steps) store(shared[step % 2]);
  }

  const int64_t first_output = panel * kPanelOutputs;
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r) {
    const int64_t row = tile_row + tile_first + RowOf(lane, r);
    if (row >= args.rows) continue;
#pragma unroll
    for (int o = 0; o < kThreadOutputs; ++o) {
      const int64_t output = first_output + OutputOf(lane, o);
      if (output >= args.outputs) continue;
      args.out[row * args.out_stride + output] =
          args.bias == nullptr ? totals[r][o] : totals[r][o] + args.bias[output];
    }
  }
}

template <int kBits, bool kZeros, int kWarps>
__global__ void __launch_bounds__(kWarps* kWarpLanes) IntegerTileKernel(MatMulArgs all) {
  ForEachTileOfRows<kWarps * kWarpRows>(all, [](const MatMulArgs& args, int64_t row) {
    MultiplyTile<kBits, kZeros, kWarps>(args, row);
  });
}

template <int kBits, bool kZeros, int kWarps>
int Run(const MatMulArgs& args, CUstream_st* stream) {
  return Launch("matmul_integer_tile", IntegerTileKernel<kBits, kZeros, kWarps>,
                MatMulGrid(args, kWarps * kWarpRows, kPanelOutputs), kWarps * kWarpLanes,
                2 * sizeof(Step<kWarps>), stream, args);
}

template <int kWarps>
int AnyIntegers(const MatMulArgs& args, CUstream_st* stream) {
  if (args.grouped.bits == 4) return Run<4, false, kWarps>(args, stream);
  if (args.grouped.zeros != nullptr) return Run<8, true, kWarps>(args, stream);
  return Run<8, false, kWarps>(args, stream);
}

}  // namespace

int MatMulIntegerTileCuda(const MatMulArgs& args, CUstream_st* stream) {
  return TypicalRows(args) <= 2 * kWarpRows ? AnyIntegers<2>(args, stream)
                                            : AnyIntegers<4>(args, stream);
}

}  // namespace layercake
