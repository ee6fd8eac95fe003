#include "worker/kernels/attention.h"

#include <algorithm>

#include "common/base/logging.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/cuda_dispatch.h"

namespace layercake {
namespace {

// Rows that share a pass over keys and values; more would not fit kAttentionRows.
constexpr int64_t kRowsPerPiece = 48;

// How the work is cut: a piece is some tokens of a slice by some heads of one kv head.
struct Pieces {
  int64_t tokens_each;
  int64_t heads_each;
  int64_t per_group;  // pieces that a kv head's heads make

  int64_t OfSlice(const SliceView& slice, int64_t num_kv_heads) const {
    return (slice.num_tokens + tokens_each - 1) / tokens_each * num_kv_heads * per_group;
  }
};

Pieces Cut(std::span<const SliceView> slices, int64_t num_kv_heads, int64_t group, int threads) {
  Pieces pieces = {1, std::min(group, kRowsPerPiece), 1};
  const auto total = [&] {
    int64_t count = 0;
    for (const SliceView& slice : slices) count += pieces.OfSlice(slice, num_kv_heads);
    return count;
  };
  pieces.per_group = (group + pieces.heads_each - 1) / pieces.heads_each;
  while (pieces.heads_each > 1 && total() < threads) {
    pieces.heads_each = (pieces.heads_each + 1) / 2;
    pieces.per_group = (group + pieces.heads_each - 1) / pieces.heads_each;
  }
  pieces.tokens_each = std::max<int64_t>(1, kRowsPerPiece / pieces.heads_each);
  while (pieces.tokens_each > 1 && total() < 2 * threads) {
    pieces.tokens_each = (pieces.tokens_each + 1) / 2;
  }
  return pieces;
}

// See PagedAttentionTensorCuda.
bool SuitsTensorCores(const KvShape& shape) {
  return shape.dtype == DType::kF16 && shape.head_dim % 8 == 0;
}

}  // namespace

void PagedAttention(const TensorView& q, const StepView& step, const KvLayer& kv, float scale,
                    const TensorView& out, Device& device) {
  const std::span<const SliceView> slices = step.slices;
  const int64_t num_kv_heads = kv.shape.num_kv_heads;
  const int64_t group = q.cols / (num_kv_heads * kv.shape.head_dim);
  CHECK_EQ(group * num_kv_heads * kv.shape.head_dim, q.cols);
  CHECK_EQ(out.cols, q.cols);
  CHECK_EQ(q.rows, step.num_rows());
  CHECK_EQ(out.rows, q.rows);
  if (device.kind() == DeviceKind::kCuda) {
    if (!device.status().ok()) return;
    CHECK(step.on_device != nullptr && kv.shape.head_dim <= kMaxCudaHeadDim);
    const bool on_tensor_cores = AsCuda(device).tier().tensor_cores && SuitsTensorCores(kv.shape);
    return LaunchOn(
        device, "attention",
        on_tensor_cores ? &CudaKernels::attention_tensor : &CudaKernels::attention,
        PagedAttentionArgs{.q = RowsOf(q),
                           .out = RowsOf(out),
                           .kv = kv,
                           .step = *step.on_device,
                           .scale = scale,
                           .scratch = step.scratch,
                           .scratch_floats = step.scratch_floats,
                           .num_multiprocessors = AsCuda(device).num_multiprocessors()});
  }
  const CpuKernels& kernels = GetCpuKernels(device.isa());
  const Pieces pieces = Cut(slices, num_kv_heads, group, device.num_threads());
  int64_t total = 0;
  for (const SliceView& slice : slices) total += pieces.OfSlice(slice, num_kv_heads);

  const auto run_piece = [&](const SliceView& slice, int64_t first_row, int64_t index) {
    // Later tokens have more to read: they go first, so that threads finish together.
    const int64_t per_token = num_kv_heads * pieces.per_group;
    const int64_t num_token_pieces =
        (slice.num_tokens + pieces.tokens_each - 1) / pieces.tokens_each;
    const int64_t token_begin = (num_token_pieces - 1 - index / per_token) * pieces.tokens_each;
    const int64_t token_end = std::min(token_begin + pieces.tokens_each, slice.num_tokens);
    const int64_t head_begin = index % pieces.per_group * pieces.heads_each;
    const int64_t head_end = std::min(head_begin + pieces.heads_each, group);
    const AttentionArgs args = {.q = q.Row(first_row),
                                .q_stride = q.stride,
                                .out = out.Row(first_row),
                                .out_stride = out.stride,
                                .kv = &kv,
                                .position = slice.position,
                                .block_ids = slice.block_ids.data(),
                                .kv_head = index % per_token / pieces.per_group,
                                .heads_per_kv_head = group,
                                .scale = scale};
    kernels.attention(args, token_begin, token_end, head_begin, head_end);
  };
  device.pool().ParallelFor(total, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      int64_t index = piece, first_row = 0;
      const SliceView* slice = slices.data();
      for (; index >= pieces.OfSlice(*slice, num_kv_heads); ++slice) {
        index -= pieces.OfSlice(*slice, num_kv_heads);
        first_row += slice->num_tokens;
      }
      run_piece(*slice, first_row, index);
    }
  });
}

}  // namespace layercake
