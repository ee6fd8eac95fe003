#include "worker/kernels/prepare_attention.h"

#include <algorithm>

#include "common/base/logging.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/cuda_dispatch.h"
#include "worker/kernels/typed.h"

namespace layercake {
namespace {

// Below this many elements a thread's share is not worth waking it for.
constexpr int64_t kElementsPerPiece = 16384;

void RotateHead(float* __restrict head, const float* __restrict angles, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float first = head[i], second = head[i + half];
    const float cosine = angles[i], sine = angles[i + half];
    head[i] = first * cosine - second * sine;
    head[i + half] = second * cosine + first * sine;
  }
}

template <typename T>
void StoreToken(const float* keys, const float* values, const KvLayer& kv, int64_t block,
                int64_t offset) {
  const KvShape& shape = kv.shape;
  const int64_t size = shape.block_size_tokens;
  for (int64_t head = 0; head < shape.num_kv_heads; ++head) {
    const int64_t base = (block * shape.num_kv_heads + head) * shape.head_dim * size;
    T* key = static_cast<T*>(kv.keys) + base + offset;
    T* value = static_cast<T*>(kv.values) + base + offset * shape.head_dim;
    for (int64_t d = 0; d < shape.head_dim; ++d) {
      key[d * size] = Narrow(keys[head * shape.head_dim + d], T{});
      value[d] = Narrow(values[head * shape.head_dim + d], T{});
    }
  }
}

}  // namespace

void PrepareAttention(const TensorView& qkv, const HeadNorms& norms, const TensorView& angles,
                      const StepView& step, const KvLayer& kv, Device& device) {
  const int64_t head_dim = kv.shape.head_dim, kv_cols = kv.shape.num_kv_heads * head_dim;
  const int64_t q_cols = qkv.cols - 2 * kv_cols;
  CHECK(q_cols > 0 && q_cols % head_dim == 0 && head_dim % 2 == 0);
  CHECK_EQ(angles.cols, head_dim);
  CHECK_EQ(angles.rows, qkv.rows);
  CHECK_EQ(qkv.rows, step.num_rows());
  if (device.kind() == DeviceKind::kCuda) {
    if (!device.status().ok()) return;
    CHECK(step.on_device != nullptr && head_dim <= kMaxCudaHeadDim);
    return LaunchOn(device, "preparing attention", &CudaKernels::prepare_attention,
                    PrepareAttentionArgs{RowsOf(qkv), norms, RowsOf(angles), kv, *step.on_device});
  }
  const CpuKernels& kernels = GetCpuKernels(device.isa());
  const auto run_row = [&](int64_t row, int64_t position, int64_t block) {
    float* const keys = qkv.Row(row) + q_cols;
    float* const values = keys + kv_cols;
    for (float* head = qkv.Row(row); head < values; head += head_dim) {
      const float* const weight = head < keys ? norms.queries : norms.keys;
      if (weight != nullptr) kernels.rms_norm(head, weight, norms.epsilon, head_dim, head);
      RotateHead(head, angles.Row(row), head_dim / 2);
    }
    const int64_t offset = position % kv.shape.block_size_tokens;
    if (kv.shape.dtype == DType::kF16) {
      StoreToken<Half>(keys, values, kv, block, offset);
    } else {
      StoreToken<float>(keys, values, kv, block, offset);
    }
  };
  const int64_t grain = std::max<int64_t>(1, kElementsPerPiece / qkv.cols);
  device.pool().ParallelFor(qkv.rows, grain, [&](int64_t begin, int64_t end) {
    int64_t first_row = 0;
    for (const SliceView& slice : step.slices) {
      const int64_t last = std::min(end, first_row + slice.num_tokens);
      for (int64_t row = std::max(begin, first_row); row < last; ++row) {
        const int64_t position = slice.position + row - first_row;
        const int64_t block = slice.block_ids[position / kv.shape.block_size_tokens];
        DCHECK(block >= 0 && block < kv.shape.num_blocks);
        run_row(row, position, block);
      }
      first_row += slice.num_tokens;
    }
  });
}

}  // namespace layercake
