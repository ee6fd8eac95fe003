#pragma once

// What a product on tensor cores reads in shared memory. Private to matmul_tensor_cuda.cu and
// matmul_tensor_tile_cuda.cu.
//
// Memory is copied there, and read by most lanes, in chunks of 16 bytes. A line of eight chunks is
// every bank once; so that the lanes that read at once, neighbours in lane % 4 and lane / 4, find
// what they read in different banks, rows have their chunks elsewhere in a line than their
// neighbours.

#include "worker/kernels/matmul_tensor.cuh"

namespace layercake {

inline constexpr int kChunkBytes = 16;

// Rows of weights, of kPartBytes each, one for each of kRows inputs. A lane reads four of them.
template <int kPartBytes, int kRows>
struct PanelSlab {
  static constexpr int kChunks = kPartBytes / kChunkBytes;  // of a row
  __device__ static int At(int k, int chunk) {
    return (k * kChunks + chunk) ^ (k / kLaneInputs % 4 * 2);
  }
  // Of row k, from that byte on.
  __device__ const void* Byte(int k, int byte) const {
    return reinterpret_cast<const char*>(&chunks[At(k, byte / kChunkBytes)]) + byte % kChunkBytes;
  }

  uint4 chunks[kRows * kChunks];
};

// Rows of inputs, kSlabInputs each, as they are or in pieces.
inline constexpr int kSlabInputs = 32;
template <int kRows>
struct RowsSlab {
  union Chunk {
    float4 inputs;
    InputFragment pieces;
  };
  static constexpr int kChunks = kSlabInputs / kLaneInputs;  // of a row
  static_assert(kChunks == 8 && sizeof(Chunk) == kChunkBytes);
  __device__ Chunk& At(int row, int chunk) {
    return chunks[row * kChunks + (chunk ^ (row % 2 * 4))];
  }

  Chunk chunks[kRows * kChunks];
};

}  // namespace layercake
