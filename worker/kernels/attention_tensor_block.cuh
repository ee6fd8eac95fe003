#pragma once

// A block of attention on tensor cores: how its rows and the work on them are divided over warps
// and lanes, and what they share. Private to attention_tensor_cuda.cu.

#include "worker/kernels/attention_rows.cuh"
#include "worker/kernels/attention_tensor.cuh"

namespace layercake {

// A query or weight is the sum of two pieces of f16, to 2^-22 of itself; keys and values are f16.
inline constexpr int kPieces = 2;
// Weights are at most 1. So scaled, pieces of those that count are no subnormals.
inline constexpr float kWeightScale = 0x1p15f;

// A power of two that brings `max`, and what is smaller, to where two pieces of f16 have room.
struct ExactScale {
  __device__ explicit ExactScale(float max) {
    const int of_max = static_cast<int>(__float_as_uint(max) >> 23 & 0xff) - 127;
    exponent = of_max < 13 - 100 ? 100 : 13 - of_max;
  }
  __device__ float Forth() const { return __int_as_float((127 + exponent) << 23); }
  __device__ float Back() const { return __int_as_float((127 - exponent) << 23); }

  int exponent;
};

// Two numbers as f16; they become what is left of them.
__device__ __forceinline__ uint32_t TakeF16(float& low, float& high) {
  const uint32_t pair = PackF16(low, high);
  low -= HalfBitsToFloat(static_cast<uint16_t>(pair & 0xffff));
  high -= HalfBitsToFloat(static_cast<uint16_t>(pair >> 16));
  return pair;
}

// Where lanes hold numbers k and k + 1, k even, of a row of a tile of left operands.
__device__ __forceinline__ unsigned int& PairOf(uint4 (&lanes)[kWarpLanes], int row, int k) {
  uint4& of_lane = lanes[row % 8 * 4 + k / 4];
  if (row < 8) return k % 4 < 2 ? of_lane.x : of_lane.z;
  return k % 4 < 2 ? of_lane.y : of_lane.w;
}

// Rows of queries or weights that tensor cores take at once.
inline constexpr int kMmaRows = 16;

// A chunk's positions and a head's dimensions are divided over so many warps. Each reads what is
// its own for all rows of its group; of sums only weights go from warp to warp.
inline constexpr int kWarps = 4;
inline constexpr int kWarpPositions = kChunk / kWarps;
inline constexpr int kKeysAhead = 2;                    // steps whose loads are under way at once
inline constexpr int kPairs = kChunk / kPairPositions;  // pairs of steps over a chunk's positions
static_assert(kWarpPositions == kPairPositions);

// How a kernel is cut.
//   kDims: dimensions of a head, at most. kTiles: tiles of kMmaRows rows that a warp takes.
//   kGroups: of so many warps and rows each. Several read keys and values by way of shared memory
//   (attention_tensor_stage.cuh), one straight from the blocks.
template <int kMaxDims, int kTilesOfOne, int kRowGroups, bool kAnyBlockSize>
struct Cut {
  static constexpr int kDims = kMaxDims;
  static constexpr int kSteps = kDims / kInnerStep;
  static constexpr int kTiles = kTilesOfOne;
  static constexpr int kGroups = kRowGroups;
  static constexpr bool kWholeVectors = !kAnyBlockSize;
  static constexpr int kRows = kGroups * kTiles * kMmaRows;
  static constexpr int kThreads = kGroups * kWarps * kWarpLanes;
  static constexpr bool kStaged = kGroups > 1;
  static_assert(!kStaged || kWholeVectors);
  static constexpr int kColumns = kDims / kWarps / 8;  // a lane's dimensions, and tiles of them
  // Few rows wait for keys: no loop hinders loads there.
  static constexpr int kScoreLoops = kStaged ? 1 : kSteps / kKeysAhead;
  // Blocks of a multiprocessor that registers are to suffice for.
  static constexpr int kBlocks = kStaged || kAnyBlockSize ? 1 : kDims > 128 ? 2 : 3;
};

// Keys or values on their way, and those in use.
inline constexpr int kSlabNumbers = 8 << 10;
template <bool kStaged>
struct KvSlabs {
  alignas(16) uint16_t slabs[2][kSlabNumbers];
};
template <>
struct KvSlabs<false> {};
inline constexpr int kVector = 8;  // numbers that are copied to them at once

template <class C>
struct Shared : KvSlabs<C::kStaged> {
  // Both in two pieces, as lanes hold them.
  uint4 queries[C::kGroups * C::kTiles][C::kSteps][kPieces][kWarpLanes];
  uint4 weights[C::kGroups * C::kTiles][2 * kPairs][kPieces][kWarpLanes];
  float factors[C::kRows];  // of a row's scores
  float max[kWarps][C::kRows];
  float sum[kWarps][C::kRows];
  // Of this chunk's positions and the next one's.
  KvPlaces<C::kStaged ? kVector : 1> places[2];
};
// Cards of 8.6 and 8.9 give a block no more.
inline constexpr size_t kMaxSharedBytes = 99 << 10;

// What a thread knows of itself.
template <class C>
struct Self {
  __device__ Self(const TileRows& rows)
      : lane(static_cast<int>(threadIdx.x) % kWarpLanes),
        warp(static_cast<int>(threadIdx.x) / kWarpLanes % kWarps),
        first_tile(static_cast<int>(threadIdx.x) / (kWarpLanes * kWarps) * C::kTiles) {
    const int left = rows.count - first_tile * kMmaRows;
    tiles = left <= 0 ? 0 : left >= C::kTiles * kMmaRows ? C::kTiles : (left - 1) / kMmaRows + 1;
#pragma unroll
    for (int tile = 0; tile < C::kTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = Row(tile, half);
        limits[tile][half] = row < rows.count ? rows.Limit(row) : 0;
      }
    }
  }
  // A lane holds results of two rows of a tile.
  __device__ int Row(int tile, int half) const {
    return (first_tile + tile) * kMmaRows + half * 8 + lane / 4;
  }

  int lane;
  int warp;
  int first_tile;
  int tiles;                 // that have rows
  int limits[C::kTiles][2];  // its rows'; 0 where there is no row
};

// f(tile, half, row) for the rows that a lane holds.
template <class C, typename F>
__device__ __forceinline__ void ForEachRow(const Self<C>& self, F f) {
#pragma unroll
  for (int tile = 0; tile < C::kTiles; ++tile) {
    if (tile >= self.tiles) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half) f(tile, half, self.Row(tile, half));
  }
}

// A lane's part of the rows' values.
template <class C>
using LaneValues = float[C::kTiles][C::kColumns][4];

// And what there is of its rows so far.
template <class C>
struct LaneRows {
  LaneValues<C> values;
  RowState states[C::kTiles][2];
};

// Takes the block's queries apart, a warp a row.
template <class C>
__device__ __forceinline__ void ReadQueries(const AttentionKernelArgs& args, const TileRows& rows,
                                            Shared<C>& shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int head_dim = static_cast<int>(args.op.kv.shape.head_dim);
  for (int row = static_cast<int>(threadIdx.x) / kWarpLanes; row < C::kRows;
       row += C::kThreads / kWarpLanes) {
    float numbers[C::kDims / kWarpLanes] = {};
    float max = 0;
    if (row < rows.count) {
      const float* const query = rows.Query(args, row);
#pragma unroll
      for (int i = 0; i < C::kDims / kWarpLanes; ++i) {
        const int d = lane * 2 + i / 2 * 2 * kWarpLanes + i % 2;
        if (d < head_dim) numbers[i] = query[d];
        max = fmaxf(max, fabsf(numbers[i]));
      }
    }
    const ExactScale scale(WarpMax(max));
    if (lane == 0) shared.factors[row] = scale.Back() * args.op.scale;
#pragma unroll
    for (int i = 0; i < C::kDims / kWarpLanes; i += 2) {
      const int d = lane * 2 + i * kWarpLanes;
      float low = numbers[i] * scale.Forth(), high = numbers[i + 1] * scale.Forth();
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) {
        PairOf(shared.queries[row / kMmaRows][d / kInnerStep][piece], row % kMmaRows,
               d % kInnerStep) = TakeF16(low, high);
      }
    }
  }
}

}  // namespace layercake
