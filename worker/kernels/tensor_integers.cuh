#pragma once

// Weights in groups of integers, as lanes of a product on tensor cores hold them. Private to
// matmul_tensor.cuh.

#include "worker/kernels/tensor_weights.cuh"

namespace layercake {

template <int kBits, int kTiles>
using IntegerParts = PanelParts<kPanelOutputs * kBits / 8, kTiles>;

// Integers less their group's zeros, which bf16 holds exactly; scales come when a group is summed.
template <int kBits, int kTiles>
struct IntegerTiles : IntegerParts<kBits, kTiles> {
  using Parts = IntegerParts<kBits, kTiles>;
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
  // Of the panel.
  __device__ int OutputOf(int of_group, int tile, int half) const {
    return (part * kLaneGroups + of_group) * Parts::kLaneBytes + AfterFirst(tile, half);
  }
  // How far an output is from its lane's first. Of 4 bits, a byte holds two half a panel apart.
  __device__ static constexpr int AfterFirst(int tile, int half) {
    return kBits == 8 ? 2 * tile + half : tile + half * kPanelOutputs / 2;
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
      scales[i] = __ldg(of_lane + AfterFirst(first / 2, first % 2) / 2);
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
