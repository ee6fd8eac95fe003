#pragma once

// What the kernels of every kind of device are given: plain pointers and numbers, so that device
// code and files with their own instruction set may include it.

#include <cstdint>

#include "common/model/dtype.h"

namespace layercake {

// out[r][o] = bias[o] + sum over k of x[r][k] * weights(o, k). See matmul.h.
struct MatMulArgs {
  const float* x = nullptr;
  int64_t x_stride = 0;
  int64_t rows = 0;
  const void* weights = nullptr;  // panels
  DType dtype = DType::kF32;
  int64_t inputs = 0;
  int64_t outputs = 0;
  const float* bias = nullptr;  // [outputs padded to whole panels], or null
  float* out = nullptr;
  int64_t out_stride = 0;
};

}  // namespace layercake
