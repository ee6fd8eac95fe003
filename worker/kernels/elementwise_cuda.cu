#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/row_blocks.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpLanes;

// A block a row. Squares are summed by thread, then over each warp, then over the warps.
__global__ void __launch_bounds__(kThreads)
    AddRmsNormKernel(FloatRows x, const float* y, int64_t y_stride, const float* weight,
                     float epsilon, FloatRows out) {
  float* const x_row = x.data + blockIdx.x * x.stride;
  const float* const y_row = y == nullptr ? nullptr : y + blockIdx.x * y_stride;
  float* const out_row = out.data + blockIdx.x * out.stride;
  float* const sums = &SharedAs<float>();
  const int thread = static_cast<int>(threadIdx.x);
  float squares = 0;
  for (int64_t i = thread; i < x.cols; i += kThreads) {
    float value = x_row[i];
    if (y_row != nullptr) {
      value += y_row[i];
      x_row[i] = value;
    }
    squares = fmaf(value, value, squares);
  }
  squares = WarpSum(squares);
  if (thread % kWarpLanes == 0) sums[thread / kWarpLanes] = squares;
  __syncthreads();
  float total = 0;
  for (int warp = 0; warp < kWarps; ++warp) total += sums[warp];
  const float inverse = 1.0f / sqrtf(total / static_cast<float>(x.cols) + epsilon);
  for (int64_t i = thread; i < x.cols; i += kThreads) out_row[i] = x_row[i] * inverse * weight[i];
}

__global__ void AddKernel(FloatRows x, FloatRows y) {
  const auto [row, i] = PlaceIn(x.cols);
  if (i < x.cols) x.data[row * x.stride + i] += y.data[row * y.stride + i];
}

__global__ void SwiGluKernel(FloatRows gate, FloatRows up) {
  const auto [row, i] = PlaceIn(gate.cols);
  if (i >= gate.cols) return;
  float& g = gate.data[row * gate.stride + i];
  g = g / (1.0f + Exp(-g)) * up.data[row * up.stride + i];
}

template <typename T>
__global__ void LookUpKernel(const T* table, const int32_t* ids, FloatRows out) {
  const auto [row, i] = PlaceIn(out.cols);
  if (i >= out.cols) return;
  out.data[row * out.stride + i] = Widen(table[ids[row] * out.cols + i]);
}

template <typename From, typename To>
__global__ void ConvertKernel(const From* from, int64_t count, To* to) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) Narrow(Widen(from[i]), to[i]);
}

}  // namespace

int AddRmsNormCuda(const FloatRows& x, const FloatRows* y, const float* weight, float epsilon,
                   const FloatRows& out, CUstream_st* stream) {
  return Launch("add_rms_norm", AddRmsNormKernel, static_cast<unsigned>(x.rows), kThreads,
                kWarps * sizeof(float), stream, x, y == nullptr ? nullptr : y->data,
                y == nullptr ? int64_t{0} : y->stride, weight, epsilon, out);
}

int AddCuda(const FloatRows& x, const FloatRows& y, CUstream_st* stream) {
  return Launch("add", AddKernel, RowBlocks(x.rows, x.cols), kRowThreads, 0, stream, x, y);
}

int SwiGluCuda(const FloatRows& gate, const FloatRows& up, CUstream_st* stream) {
  return Launch("swiglu", SwiGluKernel, RowBlocks(gate.rows, gate.cols), kRowThreads, 0, stream,
                gate, up);
}

int LookUpRowsCuda(const LookUpArgs& args, CUstream_st* stream) {
  return WithStorage(args.dtype, [&](auto zero) {
    using T = decltype(zero);
    return Launch("look_up_rows", LookUpKernel<T>, RowBlocks(args.out.rows, args.out.cols),
                  kRowThreads, 0, stream, static_cast<const T*>(args.table), args.ids, args.out);
  });
}

int ConvertCuda(const ConvertArgs& args, CUstream_st* stream) {
  return WithStorage(args.from_dtype, [&](auto from) {
    return WithStorage(args.to_dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      return Launch("convert", ConvertKernel<From, To>, CeilDivide(args.count, kThreads), kThreads,
                    0, stream, static_cast<const From*>(args.from), args.count,
                    static_cast<To*>(args.to));
    });
  });
}

}  // namespace layercake
