#pragma once

// What the kernels that multiply integers by dot products of bytes agree on, for few rows and for
// many. Private to matmul_integers_cuda.cu and matmul_integer_tile_cuda.cu.

#include "worker/kernels/device_math.cuh"
#include "worker/kernels/kernel_args.h"
#include "worker/kernels/matmul_plain.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {

// An element is the sum of kIntegerChains chains, added in order; a chain has as many neighbouring
// runs as make all, and adds for each, in order, weight scale * input scale * f32(sum), where
// sum = sum over the run of (q - zero) * (256 * first + second) is exact:
//   |sum| <= 128 * 255 * 32639 < 2^30, and that of either piece alone <= 128 * 255 * 128 < 2^22.
// So who adds what within a run is free to choose, and any way to round the same sum is the same.
inline constexpr int kIntegerChains = 16;

__device__ __forceinline__ int64_t RunsOfChain(int64_t num_runs) {
  return (num_runs + kIntegerChains - 1) / kIntegerChains;
}

// Sums of pieces apart, as RunOfInputs has them.
__device__ __forceinline__ int SecondSum(int sums) { return static_cast<int16_t>(sums); }
__device__ __forceinline__ int FirstSum(int sums) { return (sums - SecondSum(sums)) >> 16; }

// Byte j of columns[i] becomes byte i of columns[j].
__device__ __forceinline__ void Transpose(unsigned int (&columns)[4]) {
  const unsigned int low01 = __byte_perm(columns[0], columns[1], 0x5140);
  const unsigned int high01 = __byte_perm(columns[0], columns[1], 0x7362);
  const unsigned int low23 = __byte_perm(columns[2], columns[3], 0x5140);
  const unsigned int high23 = __byte_perm(columns[2], columns[3], 0x7362);
  columns[0] = __byte_perm(low01, low23, 0x5410);
  columns[1] = __byte_perm(low01, low23, 0x7632);
  columns[2] = __byte_perm(high01, high23, 0x5410);
  columns[3] = __byte_perm(high01, high23, 0x7632);
}

// Integers of 8 bits less 128, as signed bytes hold them.
inline constexpr unsigned int kSignBits = 0x80808080;
inline constexpr unsigned int kLowNibbles = 0x0f0f0f0f;

__device__ __forceinline__ float WidenScale(uint16_t bits, DType dtype) {
  return dtype == DType::kF16 ? Widen(F16Bits{bits}) : Widen(BF16Bits{bits});
}

// Many rows, by tiles, with the same result.
int MatMulIntegerTileCuda(const MatMulArgs& args, CUstream_st* stream);

}  // namespace layercake
