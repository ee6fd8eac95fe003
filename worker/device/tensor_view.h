#pragma once

// A borrowed, row-major matrix in a device's memory: what kernels take and return.

#include <cstdint>

#include "common/base/logging.h"
#include "common/model/config.h"

namespace layercake {

// Borrows: the buffer it points into must outlive it. Copying copies the view, not the data.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from one row to the next, >= cols

  // REQUIRES: `dtype` is f32 and `row` < `rows`.
  float* Row(int64_t row) const {
    DCHECK(dtype == DType::kF32 && row < rows);
    return static_cast<float*>(data) + row * stride;
  }
  // Columns [first, first + count) of every row. REQUIRES: `dtype` is f32; they are within the
  // matrix.
  TensorView Columns(int64_t first, int64_t count) const {
    DCHECK(dtype == DType::kF32 && first + count <= cols);
    return {static_cast<float*>(data) + first, dtype, rows, count, stride};
  }
  // The first `count` rows. REQUIRES: count <= rows.
  TensorView Head(int64_t count) const {
    DCHECK_LE(count, rows);
    return {data, dtype, count, cols, stride};
  }
};

// A view of dense f32 rows.
inline TensorView F32View(float* data, int64_t rows, int64_t cols) {
  return {data, DType::kF32, rows, cols, cols};
}

}  // namespace layercake
