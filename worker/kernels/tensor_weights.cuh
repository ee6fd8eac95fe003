#pragma once

// The weights of a product on tensor cores, as its lanes hold them. Private to matmul_tensor.cuh.

#include <type_traits>

#include "common/model/packing.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/kernel_args.h"
#include "worker/kernels/simt.cuh"

namespace layercake {

// An element is the sum of kSegments runs of neighbouring inputs, joined in order; the tensor cores
// sum a run, kStep inputs at a time. It is so whatever the rows: of few of them each of a block's
// warps sums one run, of many a warp sums all runs one after another.
inline constexpr int kSegments = 8;
inline constexpr int kStepShift = 4;
inline constexpr int kStep = 1 << kStepShift;
// What the tensor cores take at once: 16 outputs by 8 rows.
inline constexpr int kTileOutputs = 16;
inline constexpr int kRowTile = 8;
// A lane holds the weights of some outputs and the inputs of one row of a tile, both of which
// lane / 4 says, for the neighbouring inputs of a step that lane % 4 says.
inline constexpr int kLaneGroups = kWarpLanes / 4;
inline constexpr int kLaneInputs = kStep / 4;

// A lane's part of a tile of weights: pairs of inputs, {0 1, 0 1, 2 3, 2 3} of its four, for two
// outputs in turn.
struct WeightFragment {
  uint32_t pairs[4];
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

// How a panel is divided over warps' lanes: into parts of kTiles tiles of outputs, of which a lane
// has two outputs each; rows of kBytes.
template <int kBytes, int kTiles>
struct PanelParts {
  static constexpr int kOutputTiles = kTiles;
  static constexpr int kOutputs = kTiles * kTileOutputs;
  static constexpr int kParts = kPanelOutputs / kOutputs;
  static constexpr int kRowBytes = kBytes;
  static constexpr int kPartBytes = kRowBytes / kParts;
  static constexpr int kLaneBytes = kPartBytes / kLaneGroups;

  // The `part`-th part of row 0 of a panel.
  __device__ static const char* PartOf(const MatMulArgs& args, int64_t panel, int part) {
    return static_cast<const char*>(args.weights) +
           (args.first_panel + panel) * args.inputs * kRowBytes + part * kPartBytes;
  }
};

// What a lane reads of a part: rows of its four inputs of a step, its outputs each. `group` is
// which of the kLaneGroups it is of.
template <typename T, int kNumPieces, int kTiles>
struct DenseTiles : PanelParts<kPanelOutputs* static_cast<int>(sizeof(T)), kTiles> {
  using Parts = PanelParts<kPanelOutputs* static_cast<int>(sizeof(T)), kTiles>;
  static constexpr int kPieces = kNumPieces;
  static constexpr bool kGrouped = false;
  static constexpr int kLaneOutputs = 2 * kTiles;
  union Row {
    std::conditional_t<kTiles == 4, uint4, uint2> words;
    T values[kLaneOutputs];
  };
  struct Loaded {
    Row rows[kLaneInputs];
  };

  __device__ DenseTiles(const MatMulArgs& /*args*/, int64_t /*panel*/, int part, int /*group*/)
      : part(part) {}
  // Of the panel.
  __device__ int OutputOf(int group, int tile, int half) const {
    return part * Parts::kOutputs + group * kLaneOutputs + 2 * tile + half;
  }
  // The lane's part of a row.
  __device__ static void TakeRow(const void* from, int row, Loaded& loaded) {
    loaded.rows[row].words = *static_cast<const decltype(Row::words)*>(from);
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

  int part;
};

// Integers less their group's zeros, which bf16 holds exactly; scales come when a group is summed.
template <int kBits, int kTiles>
struct IntegerTiles : PanelParts<kPanelOutputs * kBits / 8, kTiles> {
  using Parts = PanelParts<kPanelOutputs * kBits / 8, kTiles>;
  static constexpr int kPieces = 1;
  static constexpr bool kGrouped = true;
  using Word = std::conditional_t<Parts::kLaneBytes == 2, uint16_t, unsigned int>;
  static constexpr int kWords = Parts::kLaneBytes / static_cast<int>(sizeof(Word));  // of a lane
  struct Loaded {
    unsigned int rows[kLaneInputs][kWords];
  };
  struct alignas(Parts::kLaneBytes) Words {
    Word at[kWords];
  };

  __device__ IntegerTiles(const MatMulArgs& args, int64_t panel, int part, int group)
      : format(args.grouped),
        panel(args.first_panel + panel),
        part(part),
        group(group),
        steps_shift(format.group_shift < 31 ? format.group_shift - kStepShift : 31) {}
  // Of the panel: its place after a lane's first one, or from the panel's first. Of 4 bits, a byte
  // holds outputs half a panel apart.
  __device__ static constexpr int OutputWithin(int tile, int half) {
    return kBits == 8 ? 2 * tile + half : tile + half * kPanelOutputs / 2;
  }
  __device__ int OutputOf(int of_group, int tile, int half) const {
    return (part * kLaneGroups + of_group) * Parts::kLaneBytes + OutputWithin(tile, half);
  }
  __device__ static void TakeRow(const void* from, int row, Loaded& loaded) {
    const Words words = *static_cast<const Words*>(from);
#pragma unroll
    for (int i = 0; i < kWords; ++i) loaded.rows[row][i] = words.at[i];
  }

  __device__ int GroupOf(int step) const { return step >> steps_shift; }
  // Begins to load what Enter needs of the `at`-th group of inputs.
  __device__ void Fetch(int at) {
    fetched = at;
    const int64_t row = panel * format.groups + at;
    if (format.zeros != nullptr) {
      const auto* const from =
          reinterpret_cast<const Word*>(format.zeros + row * Parts::kRowBytes +
                                        part * Parts::kPartBytes + group * Parts::kLaneBytes);
#pragma unroll
      for (int i = 0; i < kWords; ++i) zeros[i] = __ldg(from + i);
    }
    const auto* const of_lane = reinterpret_cast<const unsigned int*>(
        static_cast<const uint16_t*>(format.scales) + row * kPanelOutputs + OutputOf(group, 0, 0));
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const int first = ScaleOf(i, 0);
      scales[i] = __ldg(of_lane + OutputWithin(first / 2, first % 2) / 2);
    }
  }
  // Which scales are neighbours: of the i-th pair the first or second.
  __device__ static constexpr int ScaleOf(int i, int second) {
    if (kBits == 8) return 2 * i + second;
    return (i % (kTiles / 2) * 2 + second) * 2 + i / (kTiles / 2);
  }
  // Gets ready for the group, and fetches the next one.
  __device__ void Enter(int at) {
    if (fetched != at) Fetch(at);
#pragma unroll
    for (int i = 0; i < 2 * kTiles; ++i) {
      const auto bits = static_cast<uint16_t>(scales[i / 2] >> (i % 2 * 16));
      scale[ScaleOf(i / 2, i % 2)] =
          format.scale_dtype == DType::kF16 ? Widen(F16Bits{bits}) : Widen(BF16Bits{bits});
      if (format.zeros == nullptr) {
        zero_bits[i] = kBits == 8 ? 0x4b000080u : 0x43084308u;
      } else {
        zero_bits[i] = kBits == 8 ? ByteAsFloat(zeros[i / 4], i % 4)
                                  : NibblesAsBF16(zeros[0], zeros[0], i / 2, i % 2);
      }
    }
    if (at + 1 < format.groups) Fetch(at + 1);
  }
  __device__ void Fragments(const Loaded& loaded, int tile, WeightFragment (&fragments)[1]) const {
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      const unsigned int(&low)[kWords] = loaded.rows[i];
      const unsigned int(&high)[kWords] = loaded.rows[i + 1];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int at = 2 * tile + half;
        if (kBits == 4) {
          fragments[0].pairs[i + half] =
              SubtractBF16(NibblesAsBF16(low[0], high[0], tile, half), zero_bits[at]);
        } else {
          const float zero = __uint_as_float(zero_bits[at]);
          fragments[0].pairs[i + half] =
              PackBF16(__uint_as_float(ByteAsFloat(low[at / 4], at % 4)) - zero,
                       __uint_as_float(ByteAsFloat(high[at / 4], at % 4)) - zero);
        }
      }
    }
  }
  // 2^23 + a byte of a word, as f32.
  __device__ static uint32_t ByteAsFloat(uint32_t word, int byte) {
    return __byte_perm(word, 0x4b000000u, 0x7440u | byte);
  }
  // 128 + 4 bits of a byte of each of two words, as a pair of bf16.
  __device__ static uint32_t NibblesAsBF16(uint32_t low, uint32_t high, int byte, int half) {
    const uint32_t bytes = __byte_perm(low, high, byte | (4 + byte) << 8);
    return MaskAndSet(bytes >> (4 * half), 0x000f000fu, 0x43004300u);
  }

  GroupedWeights format;
  int64_t panel;
  int part;
  int group;
  int steps_shift;  // a group has 2^steps_shift steps, or as many as there are
  int fetched = -1;
  unsigned int zeros[kWords] = {};
  unsigned int scales[kTiles];
  float scale[2 * kTiles];             // of outputs OutputOf(group, i / 2, i % 2)
  unsigned int zero_bits[2 * kTiles];  // their zeros, in the form of the integers
};

}  // namespace layercake
