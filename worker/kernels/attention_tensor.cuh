#pragma once

// Keys and values, as lanes of attention on tensor cores hold them. Private to
// attention_tensor_cuda.cu.

#include <type_traits>

#include "worker/kernels/attention_rows.cuh"

namespace layercake {

// Tensor cores take so many numbers of the inner dimension at once: dimensions of keys, positions
// of values. A lane holds neighbours: four dimensions of a step, or eight positions of two steps.
inline constexpr int kInnerStep = 16;
inline constexpr int kPairPositions = 2 * kInnerStep;

// A lane's four rows of a step of keys or values, by kCount neighbouring columns: of each of kCount
// tiles one.
template <int kCount>
struct KvColumns {
  using Row =
      std::conditional_t<kCount == 2, unsigned int, std::conditional_t<kCount == 4, uint2, uint4>>;

  // From the blocks, and from shared memory.
  __device__ void ReadRow(int row, const uint16_t* from) {
    SetRow(row, __ldg(reinterpret_cast<const Row*>(from)));
  }
  __device__ void TakeRow(int row, const uint16_t* from) {
    SetRow(row, *reinterpret_cast<const Row*>(from));
  }
  __device__ void SetRow(int row, unsigned int word) { rows[row][0] = word; }
  __device__ void SetRow(int row, uint2 words) {
    rows[row][0] = words.x;
    rows[row][1] = words.y;
  }
  __device__ void SetRow(int row, uint4 words) {
    SetRow(row, uint2{words.x, words.y});
    rows[row][2] = words.z;
    rows[row][3] = words.w;
  }
  // Of the j-th tile.
  __device__ void Fragment(int j, uint32_t (&pairs)[2]) const {
    const unsigned int pick = j % 2 == 0 ? 0x5410 : 0x7632;
    pairs[0] = __byte_perm(rows[0][j / 2], rows[1][j / 2], pick);
    pairs[1] = __byte_perm(rows[2][j / 2], rows[3][j / 2], pick);
  }

  unsigned int rows[4][kCount / 2];
};

// Where a chunk's positions are in the blocks: the first number of each one's keys and values; -1
// from the slice's end on, where there may be no block, or anything in it. Of kEach neighbours in a
// block those of the first do for all.
template <int kEach>
struct KvPlaces {
  static constexpr int kCount = kChunk / kEach;
  int64_t keys[kCount];
  int64_t values[kCount];
};

// Each thread's of them: the block that holds it, -1 for none, and then its place.
// REQUIRES: the block has kCount threads or more.
template <int kEach>
__device__ __forceinline__ int BlockOf(const AttentionKernelArgs& args, const TileRows& rows,
                                       int chunk) {
  const int thread = static_cast<int>(threadIdx.x);
  const int position = chunk * kChunk + thread * kEach;
  if (thread >= KvPlaces<kEach>::kCount || position >= rows.End()) return -1;
  const int size = static_cast<int>(args.op.kv.shape.block_size_tokens);
  return __ldg(args.op.step.blocks + rows.tile.first_block + position / size);
}
template <int kEach>
__device__ __forceinline__ void SetPlace(const AttentionKernelArgs& args, const TileRows& rows,
                                         int chunk, int block, KvPlaces<kEach>& places) {
  const int thread = static_cast<int>(threadIdx.x);
  if (thread >= KvPlaces<kEach>::kCount) return;
  const KvShape& shape = args.op.kv.shape;
  const int size = static_cast<int>(shape.block_size_tokens);
  const int offset = (chunk * kChunk + thread * kEach) % size;
  const int64_t first =
      (int64_t{block} * shape.num_kv_heads + rows.kv_head) * shape.head_dim * size;
  places.keys[thread] = block < 0 ? -1 : first + offset;
  places.values[thread] = block < 0 ? -1 : first + offset * shape.head_dim;
}

// A lane's keys: neighbouring positions of the chunk, from `first` of its warp's on. With
// `kWholeVectors` they are neighbours in a block too.
inline constexpr int kKeysOfLane = 4;

template <bool kWholeVectors>
struct KeyReader {
  __device__ KeyReader(const AttentionKernelArgs& args, const KvPlaces<1>& places, int first,
                       int lane)
      : size(static_cast<int>(args.op.kv.shape.block_size_tokens)),
        left(static_cast<int>(args.op.kv.shape.head_dim) - lane % 4 * 4) {
#pragma unroll
    for (int i = 0; i < kPlaces; ++i) {
      const int64_t place = places.keys[first + lane / 4 * kKeysOfLane + i];
      at[i] = static_cast<const uint16_t*>(args.op.kv.keys) + place + lane % 4 * 4 * size;
      is[i] = place >= 0;
    }
  }

  // The next step's; 0 beyond the head's dimensions. One pointer that moves on, and not one for
  // each load: those would take the registers.
  __device__ void ReadNext(KvColumns<kKeysOfLane>& to) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      to.rows[i][0] = to.rows[i][1] = 0;
#pragma unroll
      for (int c = 0; c < kPlaces; ++c) {
        if (left > 0 && is[c]) {
          if constexpr (kWholeVectors) {
            to.ReadRow(i, at[0]);
          } else {
            to.rows[i][c / 2] |= static_cast<unsigned int>(*at[c]) << (c % 2 * 16);
          }
        }
        at[c] += i < 3 ? size : size * (kInnerStep - 3);
      }
    }
    left -= kInnerStep;
  }

  static constexpr int kPlaces = kWholeVectors ? 1 : kKeysOfLane;
  const uint16_t* at[kPlaces];
  bool is[kPlaces];
  int size;
  int left;
};

// A lane's values of a pair of steps: eight neighbouring positions.
template <int kCount>
struct PairValues {
  // Whether any from the `count`-th position of the pair on is an infinity or NaN.
  __device__ bool AnyOddFrom(int count, int lane) const {
    bool any = false;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (lane % 4 * 8 + i < count) continue;
#pragma unroll
      for (const unsigned int word : steps[i / 4].rows[i % 4]) {
        any |= (word & 0x7c00u) == 0x7c00u || (word & 0x7c000000u) == 0x7c000000u;
      }
    }
    return any;
  }
  // Of the j-th tile, by step; 0 from the `count`-th position of the pair on.
  __device__ void FragmentsBefore(int count, int lane, int j, uint32_t (&pairs)[2][2]) const {
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      steps[step].Fragment(j, pairs[step]);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int left = count - (lane % 4 * 8 + step * 4 + i * 2);
        pairs[step][i] &= left <= 0 ? 0 : left == 1 ? 0xffffu : 0xffffffffu;
      }
    }
  }

  KvColumns<kCount> steps[2];
};

// Reads them: kCount neighbouring dimensions of its warp's.
template <int kCount>
struct ValueReader {
  // None where the warp has no rows.
  __device__ ValueReader(const AttentionKernelArgs& args, int warp, int lane, bool has_rows)
      : values(static_cast<const uint16_t*>(args.op.kv.values)),
        first_dim(warp * 8 * kCount),
        lane(lane),
        end_dim(has_rows ? static_cast<int>(args.op.kv.shape.head_dim) : 0) {}

  __device__ bool Any() const { return first_dim < end_dim; }
  __device__ int DimOf(int column, int j) const { return first_dim + column * kCount + j; }
  // 0 beyond the head's dimensions, and from the slice's end on.
  __device__ void Read(const KvPlaces<1>& places, int pair, PairValues<kCount>& to) const {
    const int d = DimOf(lane / 4, 0);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      KvColumns<kCount>& step = to.steps[i / 4];
#pragma unroll
      for (unsigned int& word : step.rows[i % 4]) word = 0;
      const int64_t place = places.values[pair * kPairPositions + lane % 4 * 8 + i];
      if (place >= 0 && d < end_dim) step.ReadRow(i % 4, values + place + d);
    }
  }

  const uint16_t* values;
  int first_dim;
  int lane;
  int end_dim;
};

}  // namespace layercake
