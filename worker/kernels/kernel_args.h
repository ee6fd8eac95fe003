#pragma once

// What the kernels of every kind of device are given: plain pointers and numbers, so that device
// code and files with their own instruction set may include it.

#include <cstdint>

#include "common/model/dtype.h"

namespace layercake {

// Weights held as unsigned integers q: a weight is scale * (q - zero), which an f32 holds exactly.
// A row is kPanelOutputs integers: bytes, or 4 bits each, of outputs o and o + 32 in byte o.
struct GroupedWeights {
  int bits = 0;                  // 4 or 8; 0: the weights are floating-point numbers
  int group_shift = 0;           // the k-th row is of group k >> group_shift
  int64_t groups = 0;            // of an output
  const void* scales = nullptr;  // [panel][group][kPanelOutputs] of scale_dtype
  DType scale_dtype = DType::kF16;
  const uint8_t* zeros = nullptr;  // [panel][group] a row each; null: all are 2^(bits - 1)
  const int32_t* order = nullptr;  // [inputs]: the k-th row is of input order[k]; null: of input k
};

// out[r][o] = bias[o] + sum over k of x[r][k] * weights(o, k). See matmul.h.
struct MatMulArgs {
  const float* x = nullptr;
  int64_t x_stride = 0;
  int64_t rows = 0;
  const void* weights = nullptr;  // panels
  DType dtype = DType::kF32;
  GroupedWeights grouped;
  int64_t inputs = 0;
  int64_t outputs = 0;
  const float* bias = nullptr;  // [outputs padded to whole panels], or null
  float* out = nullptr;
  int64_t out_stride = 0;
};

}  // namespace layercake
