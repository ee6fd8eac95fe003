#pragma once

// How the products' kernels divide rows and outputs over blocks.

#include <type_traits>

#include "worker/kernels/device_math.cuh"
#include "worker/kernels/kernel_args.h"
#include "worker/kernels/simt.cuh"

namespace layercake {

// x: tiles of rows, y: of outputs, z: experts.
inline dim3 MatMulGrid(const MatMulArgs& args, int64_t tile_rows, int64_t tile_outputs) {
  return dim3(CeilDivide(args.rows, tile_rows), CeilDivide(args.outputs, tile_outputs),
              static_cast<unsigned>(args.num_groups));
}

// multiply(args, row) for the block's tiles of rows of its expert, of which there may be more than
// the grid is for. What a tile leaves in shared memory is no more needed then.
template <int kTileRows, typename F>
__device__ __forceinline__ void ForEachTileOfRows(const MatMulArgs& all, F multiply) {
  const MatMulArgs args = OfGroup(all, blockIdx.z);
  const int64_t step = int64_t{gridDim.x} * kTileRows;
  for (int64_t row = int64_t{blockIdx.x} * kTileRows; row < args.rows; row += step) {
    multiply(args, row);
    if (row + step < args.rows) __syncthreads();
  }
}

// run(rows of a tile, as an integral_constant) of a kernel that reads weights once for few rows.
template <typename F>
int WithTileOfFewRows(int64_t rows, F run) {
  if (rows == 1) return run(std::integral_constant<int, 1>());
  if (rows == 2) return run(std::integral_constant<int, 2>());
  if (rows <= 4) return run(std::integral_constant<int, 4>());
  return run(std::integral_constant<int, 8>());
}

// Of the product itself, or of an expert, which has half of what its grid is for (see matmul.cc).
inline int64_t TypicalRows(const MatMulArgs& args) {
  return args.groups == nullptr ? args.rows : (args.rows + 1) / 2;
}

}  // namespace layercake
