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

template <typename T, int kTiles>
using DenseParts = PanelParts<static_cast<int>(kPanelOutputs * sizeof(T)), kTiles>;

// What a lane reads of a part: rows of its four inputs of a step, its outputs each. `group` is
// which of the kLaneGroups it is of.
template <typename T, int kNumPieces, int kTiles>
struct DenseTiles : DenseParts<T, kTiles> {
  using Parts = DenseParts<T, kTiles>;
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

}  // namespace layercake
