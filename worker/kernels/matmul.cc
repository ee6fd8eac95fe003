#include "worker/kernels/matmul.h"

#include <algorithm>

#include "common/base/logging.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/cuda_dispatch.h"

namespace layercake {
namespace {

// A piece is one panel by some rows: a whole number of tiles, and so few that their inputs stay in
// the second-level cache from panel to panel, but enough to make widening the weights cheap. Fewer
// where there would not be pieces enough to keep every thread busy.
constexpr int64_t kMinRows = 48;
constexpr int64_t kMaxInputBytes = 1 << 20;
constexpr int64_t kPiecesPerThread = 4;

int64_t RowsPerPiece(int64_t rows, int64_t inputs, int64_t panels, int threads) {
  const int64_t fitting = kMaxInputBytes / (inputs * static_cast<int64_t>(sizeof(float)));
  const int64_t most = std::max<int64_t>(kMinRows, fitting / kMinRows * kMinRows);
  if (threads > 1 && panels < kPiecesPerThread * threads) return std::min(rows, kMinRows);
  return std::min(rows, most);
}

// See MatMulTensorCuda.
bool SuitsTensorCores(const PackedMatrix& weights) {
  constexpr int kMinGroupShift = 4;
  if (weights.grouped().bits == 0) return weights.dtype() != DType::kF32;
  return weights.grouped().group_shift >= kMinGroupShift;
}

}  // namespace

void MatMul(const TensorView& x, const PackedMatrix& weights, const float* bias,
            const TensorView& out, Device& device) {
  CHECK_EQ(x.cols, weights.inputs());
  CHECK_EQ(out.cols, weights.outputs());
  CHECK_EQ(x.rows, out.rows);
  CHECK(x.dtype == DType::kF32 && out.dtype == DType::kF32);
  if (device.kind() == DeviceKind::kCuda) {
    const bool on_tensor_cores = AsCuda(device).tier().tensor_cores && SuitsTensorCores(weights);
    return LaunchOn(device, "a matrix product",
                    on_tensor_cores ? &CudaKernels::matmul_tensor : &CudaKernels::matmul,
                    MatMulArgs{.x = x.Row(0),
                               .x_stride = x.stride,
                               .rows = x.rows,
                               .weights = weights.panels(),
                               .dtype = weights.dtype(),
                               .grouped = weights.grouped(),
                               .inputs = weights.inputs(),
                               .outputs = weights.outputs(),
                               .bias = bias,
                               .out = out.Row(0),
                               .out_stride = out.stride});
  }
  const CpuKernels& kernels = GetCpuKernels(device.isa());
  const int64_t panels = weights.num_panels();
  const int64_t rows_per_piece = RowsPerPiece(x.rows, x.cols, panels, device.num_threads());
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
                      .grouped = weights.grouped(),
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
