#include "worker/kernels/rope.h"

#include <algorithm>

#include "common/base/logging.h"
#include "worker/kernels/cuda_dispatch.h"

namespace layercake {
namespace {

constexpr int64_t kElementsPerPiece = 16384;

void RotateHead(float* __restrict head, const float* __restrict angles, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float first = head[i], second = head[i + half];
    const float cosine = angles[i], sine = angles[i + half];
    head[i] = first * cosine - second * sine;
    head[i + half] = second * cosine + first * sine;
  }
}

}  // namespace

void ApplyRope(const TensorView& x, const TensorView& angles, Device& device) {
  const int64_t head_dim = angles.cols;
  CHECK_EQ(x.rows, angles.rows);
  CHECK(head_dim % 2 == 0 && x.cols % head_dim == 0);
  if (device.kind() == DeviceKind::kCuda) {
    return LaunchOn(device, "rotary positions", &CudaKernels::rope, RowsOf(x), RowsOf(angles));
  }
  const int64_t grain = std::max<int64_t>(1, kElementsPerPiece / x.cols);
  device.pool().ParallelFor(x.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* heads = x.Row(row);
      for (int64_t i = 0; i < x.cols; i += head_dim) {
        RotateHead(heads + i, angles.Row(row), head_dim / 2);
      }
    }
  });
}

}  // namespace layercake
