#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/row_blocks.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpLanes;
constexpr int kInfinityBits = 0x7f800000;

// The largest over the block's threads, to all of them. Magnitudes are ordered as their bits are.
__device__ __forceinline__ int LargestOfBlock(int bits) {
  int* const of_warps = &SharedAs<int>();
  for (int with = kWarpLanes / 2; with > 0; with /= 2) {
    const int other = __shfl_xor_sync(kAllLanes, bits, with);
    bits = bits < other ? other : bits;
  }
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % kWarpLanes == 0) of_warps[thread / kWarpLanes] = bits;
  __syncthreads();
  for (int warp = 0; warp < kWarps; ++warp) bits = bits < of_warps[warp] ? of_warps[warp] : bits;
  return bits;
}

// The largest finite magnitude of each row, by a block.
__global__ void __launch_bounds__(kThreads) LargestKernel(FloatRows x, float* largest) {
  int bits = 0;
  for (int64_t i = threadIdx.x; i < x.cols; i += kThreads) {
    const int magnitude = __float_as_int(x.data[blockIdx.x * x.stride + i]) & 0x7fffffff;
    if (magnitude < kInfinityBits && bits < magnitude) bits = magnitude;
  }
  bits = LargestOfBlock(bits);
  if (threadIdx.x == 0) largest[blockIdx.x] = __int_as_float(bits);
}

// Of all rows: the power of two that brings it just below 2^15, and that one's inverse. Both are
// normal, whatever the largest is. One block.
__global__ void __launch_bounds__(kThreads)
    FindScaleKernel(const float* largest, int64_t rows, float* scale, float* unscale) {
  constexpr int kMantissaBits = 23, kBias = 127, kTarget = 14, kMost = 100;
  int bits = 0;
  for (int64_t row = threadIdx.x; row < rows; row += kThreads) {
    const int magnitude = __float_as_int(largest[row]);
    bits = bits < magnitude ? magnitude : bits;
  }
  bits = LargestOfBlock(bits);
  if (threadIdx.x != 0) return;
  int exponent = kTarget - ((bits >> kMantissaBits) - kBias);
  exponent = exponent > kMost ? kMost : exponent;
  *scale = __int_as_float((kBias + exponent) << kMantissaBits);
  *unscale = __int_as_float((kBias - exponent) << kMantissaBits);
}

template <typename T>
__global__ void SplitKernel(FloatRows x, const float* scale, T* first, T* second, int64_t stride) {
  const auto [row, i] = PlaceIn(x.cols);
  if (i >= x.cols) return;
  const float value = x.data[row * x.stride + i] * (scale == nullptr ? 1.0f : *scale);
  const int64_t place = row * stride + i;
  T high;
  Narrow(value, high);
  first[place] = high;
  Narrow(value - Widen(high), second[place]);
}

__global__ void FillKernel(const float* row, FloatRows out) {
  const auto [r, i] = PlaceIn(out.cols);
  if (i < out.cols) out.data[r * out.stride + i] = row[i];
}

template <typename T>
int Split(const SplitRowsArgs& args, const float* scale, CUstream_st* stream) {
  return Launch("split_rows", SplitKernel<T>, RowBlocks(args.x.rows, args.x.cols), kRowThreads, 0,
                stream, args.x, scale, static_cast<T*>(args.first), static_cast<T*>(args.second),
                args.stride);
}

}  // namespace

int SplitRowsCuda(const SplitRowsArgs& args, CUstream_st* stream) {
  if (args.dtype == DType::kBF16) return Split<BF16Bits>(args, nullptr, stream);
  constexpr size_t kShared = kWarps * sizeof(int);
  int error = Launch("largest_of_rows", LargestKernel, static_cast<unsigned>(args.x.rows), kThreads,
                     kShared, stream, args.x, args.largest);
  if (error != cudaSuccess) return error;
  error = Launch("find_scale", FindScaleKernel, 1, kThreads, kShared, stream,
                 static_cast<const float*>(args.largest), args.x.rows, args.scale, args.unscale);
  return error != cudaSuccess ? error : Split<F16Bits>(args, args.scale, stream);
}

int FillRowsCuda(const float* row, const FloatRows& out, CUstream_st* stream) {
  return Launch("fill_rows", FillKernel, RowBlocks(out.rows, out.cols), kRowThreads, 0, stream, row,
                out);
}

}  // namespace layercake
