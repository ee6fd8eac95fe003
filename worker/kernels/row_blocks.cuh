#pragma once

// How kernels whose threads each do one number of a matrix divide it over blocks. All of them are
// in x: a grid has at most 65,535 of them in y and z, and a step may have more rows.

#include <cstdint>

#include "worker/kernels/device_math.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {

inline constexpr int kRowThreads = 256;

inline dim3 RowBlocks(int64_t rows, int64_t cols) {
  return dim3(static_cast<unsigned>(rows * CeilDivide(cols, kRowThreads)));
}

// What the thread does of a matrix of `cols` columns: nothing where `col` is none of them.
struct RowPlace {
  int64_t row;
  int64_t col;
};
__device__ __forceinline__ RowPlace PlaceIn(int64_t cols) {
  const unsigned blocks = CeilDivide(cols, kRowThreads);
  return {blockIdx.x / blocks, int64_t{blockIdx.x % blocks} * kRowThreads + threadIdx.x};
}

}  // namespace layercake
