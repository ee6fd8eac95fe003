#include "worker/kernels/dense_products.h"

#include <algorithm>

#include "worker/device/cublas_lt.h"
#include "worker/kernels/cuda_dispatch.h"

namespace layercake {
namespace {

// Rows of 16-bit numbers begin where cuBLASLt's best algorithms want them to.
constexpr int64_t kAlignedNumbers = 64;
// So many rows are taken apart at a time, or fewer, as the scratch has room for.
constexpr int64_t kMostRows = 8192;

// What x is taken apart into, in cuBLASLt's scratch.
struct Pieces {
  Pieces(char* memory, int64_t inputs)
      : largest(reinterpret_cast<float*>(memory)),
        scale(largest + kMostRows),
        unscale(scale + 1),
        first(memory + kHeaderBytes),
        stride((inputs + kAlignedNumbers - 1) / kAlignedNumbers * kAlignedNumbers),
        rows(std::min(kMostRows, (CublasLt::kScratchBytes - kHeaderBytes) / (2 * RowBytes()))),
        second(first + rows * RowBytes()) {}

  static constexpr int64_t kHeaderBytes = int64_t{64} << 10;
  int64_t RowBytes() const { return stride * static_cast<int64_t>(sizeof(uint16_t)); }

  float* largest;
  float* scale;
  float* unscale;
  char* first;
  int64_t stride;
  int64_t rows;  // at most
  char* second;
};

// Column by column a panel is [outputs, inputs], x is [inputs, rows] and out is [outputs, rows]:
// all whole panels are one batch, and what is left of outputs is a product of its own.
bool MultiplyPanels(const MatMulArgs& args, const void* x, int64_t x_stride, const float* alpha,
                    const float* beta, CublasLt& cublas) {
  BatchedProduct product = {.dtype = args.dtype,
                            .m = kPanelOutputs,
                            .n = args.rows,
                            .k = args.inputs,
                            .count = args.outputs / kPanelOutputs,
                            .a = args.weights,
                            .a_ld = kPanelOutputs,
                            .a_step = args.inputs * kPanelOutputs,
                            .b = x,
                            .b_ld = x_stride,
                            .d = args.out,
                            .d_ld = args.out_stride,
                            .d_step = kPanelOutputs,
                            .alpha = alpha,
                            .beta = beta};
  if (product.count > 0 && !cublas.Multiply(product)) return false;
  product.m = args.outputs % kPanelOutputs;
  if (product.m == 0) return true;
  product.a = static_cast<const char*>(args.weights) +
              product.count * product.a_step * DTypeBytes(args.dtype);
  product.d += product.count * product.d_step;
  product.count = 1;
  return cublas.Multiply(product);
}

bool MultiplyPieces(MatMulArgs args, const float* beta, CublasLt& cublas, Device& device) {
  const Pieces pieces(cublas.scratch(), args.inputs);
  const float* const alpha = args.dtype == DType::kF16 ? pieces.unscale : cublas.one();
  for (int64_t left = args.rows; left > 0; left -= args.rows) {
    args.rows = std::min(left, pieces.rows);
    LaunchOn(device, "a matrix product", &CudaKernels::split_rows,
             SplitRowsArgs{.x = {const_cast<float*>(args.x), args.rows, args.inputs, args.x_stride},
                           .dtype = args.dtype,
                           .largest = pieces.largest,
                           .scale = pieces.scale,
                           .unscale = pieces.unscale,
                           .first = pieces.first,
                           .second = pieces.second,
                           .stride = pieces.stride});
    if (!MultiplyPanels(args, pieces.first, pieces.stride, alpha, beta, cublas) ||
        !MultiplyPanels(args, pieces.second, pieces.stride, alpha, cublas.one(), cublas)) {
      return false;
    }
    args.x += args.rows * args.x_stride;
    args.out += args.rows * args.out_stride;
  }
  return true;
}

}  // namespace

bool MultiplyByCublasLt(const MatMulArgs& args, Device& device) {
  CublasLt* const cublas = AsCuda(device).cublas_lt();
  if (cublas == nullptr || args.groups != nullptr || args.grouped.bits != 0 ||
      args.rows < cublas->fewest_rows() || !cublas->Multiplies(args.dtype)) {
    return false;
  }
  const float* beta = cublas->zero();
  if (args.bias != nullptr) {
    beta = cublas->one();
    LaunchOn(device, "a matrix product", &CudaKernels::fill_rows, args.bias,
             FloatRows{args.out, args.rows, args.outputs, args.out_stride});
  }
  if (args.dtype != DType::kF32) return MultiplyPieces(args, beta, *cublas, device);
  return MultiplyPanels(args, args.x, args.x_stride, cublas->one(), beta, *cublas);
}

}  // namespace layercake
