#pragma once

// Keys and values of many rows on their way through shared memory. Private to
// attention_tensor_cuda.cu.
//
// A slab is 64 dimensions of the keys of a chunk's positions, [dimension][position], or as many of
// its positions' values as there is room for, [position][dimension]. There are two: while one is
// multiplied, for all groups of the block, the next one arrives in the other. So a chunk's first
// values arrive beside its last scores, and the next chunk's first keys beside its last values.
//
// Rows of a slab are 128, 256 or 512 bytes long, so that all begin at the same bank of shared
// memory, and the four lanes of a quad read four of them: rows kRowsOfLane apart. In row r the
// vectors of 16 bytes therefore change places, v with v ^ 2 * (r / kRowsOfLane % 4). What is read
// in one go (16 lanes by 8 bytes of keys, or 32 by 4, 16 by 8, 8 by 16 of values) is of two
// neighbouring vectors, an even one and an odd, in each of the four rows; they go to eight
// different vectors of 128 bytes, which are all banks. What is copied in one go is eight vectors of
// one row.

#include "worker/kernels/attention_tensor_block.cuh"

namespace layercake {

// Of keys.
inline constexpr int kSlabDims = kSlabNumbers / kChunk;
inline constexpr int kSlabSteps = kSlabDims / kInnerStep;
// Of values.
template <class C>
inline constexpr int kSlabPositions = kSlabNumbers / C::kDims;

// Neighbouring rows that a lane reads.
inline constexpr int kKeyRows = 4;
inline constexpr int kValueRows = 8;

// Where a slab of rows of kRow numbers has the `column`-th number of a row.
template <int kRow, int kRowsOfLane>
__device__ __forceinline__ int InSlab(int row, int column) {
  const int vector = column / kVector ^ row / kRowsOfLane % 4 * 2;
  return row * kRow + vector * kVector + column % kVector;
}

// Each is for all threads of the block.
template <class C>
struct Stage {
  __device__ Stage(const AttentionKernelArgs& args, const TileRows& rows, Shared<C>& shared)
      : args(args), end(rows.End()), shared(shared), free(0) {}

  // Begin to copy the index-th slab of a chunk to the free one; 0 from the slice's end on, and
  // beyond the head's dimensions. REQUIRES: the chunk's places, and a barrier after them.
  __device__ void CopyKeys(int chunk, int index) const {
    const KvPlaces<kVector>& places = shared.places[chunk % 2];
    const int size = static_cast<int>(args.op.kv.shape.block_size_tokens);
    const int dims = static_cast<int>(args.op.kv.shape.head_dim) - index * kSlabDims;
    const int positions = end - chunk * kChunk;
    const uint16_t* const keys = static_cast<const uint16_t*>(args.op.kv.keys);
    Copy<kChunk, kKeyRows>([&](int row, int column, bool& is) {
      is = row < dims && column < positions;
      return keys + places.keys[column / kVector] + (index * kSlabDims + row) * size;
    });
  }
  __device__ void CopyValues(int chunk, int index) const {
    const KvPlaces<kVector>& places = shared.places[chunk % 2];
    const int first = index * kSlabPositions<C>;
    const int dims = static_cast<int>(args.op.kv.shape.head_dim);
    const int positions = end - chunk * kChunk - first;
    const uint16_t* const values = static_cast<const uint16_t*>(args.op.kv.values);
    Copy<C::kDims, kValueRows>([&](int row, int column, bool& is) {
      is = row < positions && column < dims;
      return values + places.values[(first + row) / kVector] + row % kVector * dims + column;
    });
  }
  // What was copied last, when it has arrived; what was taken before is free from here on.
  __device__ const uint16_t* Take() {
    WaitForCopies<0>();
    __syncthreads();
    free ^= 1;
    return shared.slabs[free ^ 1];
  }

  // from(row, column, is) is where a vector comes from, if it `is` any; else it is of zeros.
  template <int kRow, int kRowsOfLane, typename From>
  __device__ void Copy(From from) const {
    constexpr int kEach = kSlabNumbers / kVector / C::kThreads;
    static_assert(kEach * C::kThreads * kVector == kSlabNumbers);
    const uint16_t* vectors[kEach];
    bool is[kEach];
    const auto at = [&](int i) {
      return (i * C::kThreads + static_cast<int>(threadIdx.x)) * kVector;
    };
    // Copies may write anywhere, for all a compiler knows: what they need is read before the first.
#pragma unroll
    for (int i = 0; i < kEach; ++i) vectors[i] = from(at(i) / kRow, at(i) % kRow, is[i]);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      CopyAsync<kVector * 2>(
          shared.slabs[free] + InSlab<kRow, kRowsOfLane>(at(i) / kRow, at(i) % kRow),
          is[i] ? vectors[i] : args.op.kv.keys, is[i]);
    }
    EndCopies();
  }

  const AttentionKernelArgs& args;
  int end;
  Shared<C>& shared;
  int free;  // which slab
};

// A lane's keys in a slab; as KeyReader.
struct StagedKeys {
  __device__ StagedKeys(const uint16_t* slab, int warp, int lane)
      : at(slab + InSlab<kChunk, kKeyRows>(lane % 4 * kKeyRows,
                                           warp * kWarpPositions + lane / 4 * kKeysOfLane)),
        left(kSlabSteps) {}

  // The next step's; nothing when the slab is at its end.
  __device__ void ReadNext(KvColumns<kKeysOfLane>& to) {
    if (left > 0) {
#pragma unroll
      for (int i = 0; i < kKeyRows; ++i) to.TakeRow(i, at + i * kChunk);
    }
    at += kInnerStep * kChunk;
    --left;
  }

  const uint16_t* at;
  int left;
};

// A lane's values of the index-th pair of steps in a slab, from its `first_dim` on.
template <class C>
__device__ __forceinline__ void TakePair(const uint16_t* slab, int index, int first_dim, int lane,
                                         PairValues<C::kColumns>& to) {
  const uint16_t* const from = slab + index * kPairPositions * C::kDims +
                               InSlab<C::kDims, kValueRows>(lane % 4 * kValueRows, first_dim);
#pragma unroll
  for (int i = 0; i < kValueRows; ++i) to.steps[i / 4].TakeRow(i % 4, from + i * C::kDims);
}

}  // namespace layercake
