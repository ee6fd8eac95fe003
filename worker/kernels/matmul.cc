#include "worker/kernels/matmul.h"

#include <algorithm>

#include "common/base/logging.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/cuda_dispatch.h"
#include "worker/kernels/dense_products.h"

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

// See MatMulIntegersCuda.
bool SuitsDotProducts(const PackedMatrix& weights) {
  return weights.grouped().bits != 0 && weights.grouped().group_shift >= InputPieces::kMinRunShift;
}

int64_t DivideUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

MatMulArgs ArgsOf(const TensorView& x, const PackedMatrix& weights, const TensorView& out,
                  const Buffer& scratch) {
  CHECK_EQ(x.cols, weights.inputs());
  CHECK_EQ(x.rows, out.rows);
  CHECK(x.dtype == DType::kF32 && out.dtype == DType::kF32);
  if (weights.grouped().bits != 0) CHECK_GE(scratch.bytes(), InputPiecesBytes(x.rows, x.cols));
  return {.x = x.Row(0),
          .x_stride = x.stride,
          .rows = x.rows,
          .weights = weights.panels(),
          .dtype = weights.dtype(),
          .grouped = weights.grouped(),
          .inputs = weights.inputs(),
          .outputs = out.cols,
          .out = out.Row(0),
          .out_stride = out.stride};
}

void MultiplyOnCuda(MatMulArgs args, const TensorView& x, const PackedMatrix& weights,
                    const Buffer& scratch, Device& device) {
  constexpr absl::string_view kName = "a matrix product";
  const CudaTier& tier = AsCuda(device).tier();
  args.num_multiprocessors = AsCuda(device).num_multiprocessors();
  if (MultiplyByCublasLt(args, device)) return;
  if (tier.tensor_cores && SuitsTensorCores(weights)) {
    return LaunchOn(device, kName, &CudaKernels::matmul_tensor, args);
  }
  if (tier.dot_products && SuitsDotProducts(weights)) {
    const GroupedWeights& format = weights.grouped();
    args.pieces = InputPieces(scratch.data(), x.rows, x.cols, format.group_shift);
    LaunchOn(device, kName, &CudaKernels::take_inputs_apart,
             TakeApartArgs{.x = RowsOf(x), .order = format.order, .pieces = args.pieces});
    return LaunchOn(device, kName, &CudaKernels::matmul_integers, args);
  }
  LaunchOn(device, kName, &CudaKernels::matmul, args);
}

// Rows from `row` on, `count` of them.
MatMulArgs SomeRows(const MatMulArgs& args, int64_t row, int64_t count) {
  MatMulArgs some = args;
  some.x += row * args.x_stride;
  some.out += row * args.out_stride;
  some.rows = count;
  return some;
}

}  // namespace

void MatMul(const TensorView& x, const PackedMatrix& weights, const float* bias,
            const TensorView& out, Device& device, const Buffer& scratch) {
  CHECK_EQ(out.cols, weights.outputs());
  MatMulArgs args = ArgsOf(x, weights, out, scratch);
  args.bias = bias;
  if (device.kind() == DeviceKind::kCuda) return MultiplyOnCuda(args, x, weights, scratch, device);
  const CpuKernels& kernels = GetCpuKernels(device.isa());
  const int64_t panels = weights.num_panels();
  const int64_t rows_per_piece = RowsPerPiece(x.rows, x.cols, panels, device.num_threads());
  const int64_t row_pieces = DivideUp(x.rows, rows_per_piece);
  device.pool().ParallelFor(panels * row_pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t row = piece / panels * rows_per_piece;
      const int64_t panel = piece % panels;
      kernels.matmul(SomeRows(args, row, std::min(rows_per_piece, x.rows - row)), panel, panel + 1);
    }
  });
}

void MatMulExperts(const TensorView& x, const PackedMatrix& weights, const ExpertRoutes& routes,
                   const TensorView& out, Device& device, const Buffer& scratch) {
  const int64_t panels = NumPanels(out.cols);
  CHECK_EQ(weights.outputs(), routes.num_experts * PaddedOutputs(out.cols));
  CHECK_EQ(x.rows, routes.rows());
  MatMulArgs args = ArgsOf(x, weights, out, scratch);
  args.groups = routes.groups;
  args.num_groups = routes.num_groups();
  if (device.kind() == DeviceKind::kCuda) {
    // Twice the mean: tokens are not spread evenly.
    args.rows = std::min(routes.num_tokens, DivideUp(2 * x.rows, args.num_groups));
    return MultiplyOnCuda(args, x, weights, scratch, device);
  }
  const CpuKernels& kernels = GetCpuKernels(device.isa());
  device.pool().ParallelFor(args.num_groups * panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const MatMulArgs group = OfGroup(args, piece / panels);
      const int64_t panel = piece % panels;
      const int64_t rows_per_piece = RowsPerPiece(group.rows, group.inputs, panels, /*threads=*/1);
      for (int64_t row = 0; row < group.rows; row += rows_per_piece) {
        kernels.matmul(SomeRows(group, row, std::min(rows_per_piece, group.rows - row)), panel,
                       panel + 1);
      }
    }
  });
}

}  // namespace layercake
