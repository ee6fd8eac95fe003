#include "common/model/packing.h"
#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

// An element is the sum of kSegments runs of neighbouring inputs, joined in order; the tensor cores
// sum a run, kStep inputs at a time. It is so whatever the rows: of few of them each of a block's
// warps sums one run, of many a warp sums all runs one after another.
constexpr int kSegments = 8;
constexpr int kStep = 16;
// What the tensor cores take at once: 16 outputs by 8 rows.
constexpr int kOutputTiles = kPanelOutputs / 16;
constexpr int kRowTile = 8;
// A lane holds the weights of some outputs and the inputs of one row of a tile, both of which
// lane / 4 says, for the neighbouring inputs of a step that lane % 4 says.
constexpr int kLaneGroups = kWarpLanes / 4;
constexpr int kLaneInputs = kStep / 4;
// Up to so many rows are few.
constexpr int64_t kFewRows = 64;

// An input is the sum of this many bf16 pieces, to 2^-17 of itself.
constexpr int kInputPieces = 2;

// A lane's part of a tile of weights: pairs of inputs, {0 1, 0 1, 2 3, 2 3} of its four, for two
// outputs in turn.
struct WeightFragment {
  uint32_t pairs[4];
};
// And of a row: its inputs 0 1 and 2 3.
struct InputFragment {
  uint32_t pairs[2];
};

// Two numbers as bf16; they become what is left of them.
__device__ __forceinline__ uint32_t TakeBF16(float& low, float& high) {
  const uint32_t pair = PackBF16(low, high);
  low -= __uint_as_float(pair << 16);
  high -= __uint_as_float(pair & 0xffff0000u);
  return pair;
}

// Pieces of two weights: bf16 is its own, f16 is the sum of two.
__device__ __forceinline__ void Split(BF16Bits low, BF16Bits high, uint32_t (&pieces)[1]) {
  pieces[0] = low.bits | static_cast<uint32_t>(high.bits) << 16;
}
__device__ __forceinline__ void Split(F16Bits low, F16Bits high, uint32_t (&pieces)[2]) {
  float left[2] = {Widen(low), Widen(high)};
  pieces[0] = TakeBF16(left[0], left[1]);
  pieces[1] = TakeBF16(left[0], left[1]);
}

// What a lane reads of a panel: rows of its four inputs of a step, its eight outputs each.
// `group` is which of the kLaneGroups it is of.
template <typename T, int kNumPieces>
struct DenseTiles {
  static constexpr int kPieces = kNumPieces;
  static constexpr bool kGrouped = false;
  static constexpr int kAhead = 4;  // steps whose loads are under way at once
  struct Loaded {
    Vector<T> rows[kLaneInputs];
  };

  __device__ DenseTiles(const MatMulArgs& args, int64_t panel, int group)
      : weights(static_cast<const T*>(args.weights) +
                (args.first_panel + panel) * kPanelOutputs * args.inputs +
                group * Vector<T>::kCount) {}
  __device__ static int OutputOf(int group, int tile, int half) {
    return group * Vector<T>::kCount + 2 * tile + half;
  }
  __device__ void LoadRow(int64_t k, int row, Loaded& loaded) const {
    loaded.rows[row].words = __ldg(reinterpret_cast<const uint4*>(weights + k * kPanelOutputs));
  }
  __device__ void Fragments(const Loaded& loaded, int tile,
                            WeightFragment (&fragments)[kPieces]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      uint32_t pieces[kPieces];
      Split(loaded.rows[i / 2 * 2].values[2 * tile + i % 2],
            loaded.rows[i / 2 * 2 + 1].values[2 * tile + i % 2], pieces);
#pragma unroll
      for (int p = 0; p < kPieces; ++p) fragments[p].pairs[i] = pieces[p];
    }
  }

  const T* weights;
};

// Integers less their group's zeros, which bf16 holds exactly; scales come when a group is summed.
template <int kBits>
struct IntegerTiles {
  static constexpr int kPieces = 1;
  static constexpr bool kGrouped = true;
  static constexpr int kAhead = 4;
  static constexpr int kRowBytes = kPanelOutputs * kBits / 8;
  static constexpr int kWords = kRowBytes / kLaneGroups / 4;
  struct Loaded {
    unsigned int rows[kLaneInputs][kWords];
  };

  __device__ IntegerTiles(const MatMulArgs& args, int64_t panel, int group)
      : format(args.grouped),
        panel(args.first_panel + panel),
        group(group),
        weights(static_cast<const uint8_t*>(args.weights) +
                (args.first_panel + panel) * args.inputs * kRowBytes + group * kWords * 4) {}
  // Of 4 bits, a byte holds outputs half a panel apart.
  __device__ static int OutputOf(int group, int tile, int half) {
    return kBits == 8 ? group * 8 + 2 * tile + half : group * 4 + tile + half * kPanelOutputs / 2;
  }
  __device__ static void LoadWords(const uint8_t* from, unsigned int (&words)[kWords]) {
#pragma unroll
    for (int i = 0; i < kWords; ++i)
      words[i] = __ldg(reinterpret_cast<const unsigned int*>(from) + i);
  }
  __device__ void LoadRow(int64_t k, int row, Loaded& loaded) const {
    LoadWords(weights + k * kRowBytes, loaded.rows[row]);
  }

  // Gets ready for the `at`-th group of inputs.
  __device__ void Enter(int64_t at) {
    const int64_t row = panel * format.groups + at;
    unsigned int zeros[kWords] = {};
    if (format.zeros != nullptr)
      LoadWords(format.zeros + row * kRowBytes + group * kWords * 4, zeros);
    const uint16_t* const scales =
        static_cast<const uint16_t*>(format.scales) + row * kPanelOutputs;
#pragma unroll
    for (int i = 0; i < 2 * kOutputTiles; ++i) {
      const int output = OutputOf(group, i / 2, i % 2);
      const uint16_t bits = __ldg(scales + output);
      scale[i] = format.scale_dtype == DType::kF16 ? Widen(F16Bits{bits}) : Widen(BF16Bits{bits});
      const unsigned int zero = format.zeros == nullptr ? 1u << (kBits - 1)
                                : kBits == 8            ? zeros[i / 4] >> (i % 4 * 8) & 0xff
                                                        : zeros[0] >> (i / 2 * 8 + i % 2 * 4) & 0xf;
      zero_bits[i] = kBits == 8 ? 0x4b000000u | zero : (0x4300u | zero) * 0x10001u;
    }
  }
  __device__ void Fragments(const Loaded& loaded, int tile, WeightFragment (&fragments)[1]) const {
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      const unsigned int(&low)[kWords] = loaded.rows[i];
      const unsigned int(&high)[kWords] = loaded.rows[i + 1];
      if (kBits == 4) {
        // 128 + integer, less 128 + zero.
        const unsigned int bytes = __byte_perm(low[0], high[0], tile | (4 + tile) << 8);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          fragments[0].pairs[i + half] = SubtractBF16(
              (bytes >> (4 * half) & 0x000f000fu) | 0x43004300u, zero_bits[2 * tile + half]);
        }
      } else {
        // 2^23 + integer, less 2^23 + zero.
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int at = 2 * tile + half;
          const unsigned int pick = 0x7440u | at % 4;
          const float zero = __uint_as_float(zero_bits[at]);
          fragments[0].pairs[i + half] =
              PackBF16(__uint_as_float(__byte_perm(low[at / 4], 0x4b000000u, pick)) - zero,
                       __uint_as_float(__byte_perm(high[at / 4], 0x4b000000u, pick)) - zero);
        }
      }
    }
  }

  GroupedWeights format;
  int64_t panel;
  int group;
  const uint8_t* weights;
  float scale[2 * kOutputTiles];             // of outputs OutputOf(group, i / 2, i % 2)
  unsigned int zero_bits[2 * kOutputTiles];  // their zeros, in the form of the integers
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
  const MatMulArgs args = OfGroup(all, blockIdx.z);
  const int64_t step = int64_t{gridDim.x} * SegmentSums<kTiles>::kRows;
  for (int64_t row = int64_t{blockIdx.x} * SegmentSums<kTiles>::kRows; row < args.rows;
       row += step) {
    MultiplyFewRows<Tiles, kTiles>(args, row);
    if (row + step < args.rows) __syncthreads();
  }
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
  return Launch(
      "matmul_few_rows", FewRowsKernel<Tiles, kTiles>,
      dim3(CeilDivide(args.rows, kTiles * kRowTile), CeilDivide(args.outputs, kPanelOutputs),
           static_cast<unsigned>(args.num_groups)),
      kFewThreads, sizeof(SegmentSums<kTiles>), stream, args);
}

template <class Tiles, int kTiles>
int RunManyRows(const MatMulArgs& args, CUstream_st* stream) {
  return Launch(
      "matmul_many_rows", ManyRowsKernel<Tiles, kTiles>,
      dim3(CeilDivide(args.rows, 2 * kTiles * kRowTile),
           CeilDivide(args.outputs, 2 * kPanelOutputs), static_cast<unsigned>(args.num_groups)),
      kManyWarps * kWarpLanes, 0, stream, args);
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
