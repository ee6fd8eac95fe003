#include "worker/kernels/matmul.h"

#include <algorithm>

#include "common/base/logging.h"
#include "worker/kernels/cpu_kernels.h"

namespace layercake {
namespace {

// Rows per piece where there are fewer panels than would keep every thread busy; a whole number
// of tiles.
constexpr int64_t kRowsPerPiece = 48;
constexpr int64_t kPiecesPerThread = 4;

}  // namespace

void MatMul(const TensorView& x, const PackedMatrix& weights, const float* bias,
            const TensorView& out, Device& device) {
  CHECK_EQ(x.cols, weights.inputs());
  CHECK_EQ(out.cols, weights.outputs());
  CHECK_EQ(x.rows, out.rows);
  CHECK(x.dtype == DType::kF32 && out.dtype == DType::kF32);
  const CpuKernels& kernels = GetCpuKernels(device.isa());
  const int64_t panels = weights.num_panels();
  const bool split_rows = panels < kPiecesPerThread * device.num_threads() &&
                          device.num_threads() > 1 && x.rows > kRowsPerPiece;
  const int64_t rows_per_piece = split_rows ? kRowsPerPiece : x.rows;
  const int64_t row_pieces = (x.rows + rows_per_piece - 1) / rows_per_piece;
  device.pool().ParallelFor(panels * row_pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t row = piece / panels * rows_per_piece;
      const int64_t panel = piece % panels;
      kernels.matmul({.x = x.Row(row),
                      .x_stride = x.stride,
                      .rows = std::min(rows_per_piece, x.rows - row),
                      .weights = weights.panels(),
                      .dtype = weights.dtype(),
                      .inputs = weights.inputs(),
                      .outputs = weights.outputs(),
                      .bias = bias,
                      .out = out.Row(row),
                      .out_stride = out.stride},
                     panel, panel + 1);
    }
  });
}

}  // namespace layercake
