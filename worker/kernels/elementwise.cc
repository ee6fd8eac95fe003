#include "worker/kernels/elementwise.h"

#include <algorithm>

#include "common/base/logging.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/cuda_dispatch.h"

namespace layercake {
namespace {

// Below this many elements a thread's share is not worth waking it for.
constexpr int64_t kElementsPerPiece = 16384;

void ForRows(const TensorView& x, Device& device, absl::FunctionRef<void(int64_t row)> body) {
  const int64_t grain = std::max<int64_t>(1, kElementsPerPiece / x.cols);
  device.pool().ParallelFor(x.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

void CheckSameShape(const TensorView& a, const TensorView& b) {
  CHECK_EQ(a.rows, b.rows);
  CHECK_EQ(a.cols, b.cols);
}

}  // namespace

void RmsNorm(const TensorView& x, const float* weight, float epsilon, const TensorView& out,
             Device& device) {
  CheckSameShape(x, out);
  if (device.kind() == DeviceKind::kCuda) {
    return LaunchOn(device, "RMS norm", &CudaKernels::add_rms_norm, RowsOf(x), nullptr, weight,
                    epsilon, RowsOf(out));
  }
  const CpuKernels& kernels = GetCpuKernels(device.isa());
  ForRows(x, device, [&](int64_t row) {
    kernels.rms_norm(x.Row(row), weight, epsilon, x.cols, out.Row(row));
  });
}

void AddRmsNorm(const TensorView& x, const TensorView& y, const float* weight, float epsilon,
                const TensorView& out, Device& device) {
  CheckSameShape(x, y);
  CheckSameShape(x, out);
  if (device.kind() == DeviceKind::kCuda) {
    const FloatRows added = RowsOf(y);
    return LaunchOn(device, "adding and RMS norm", &CudaKernels::add_rms_norm, RowsOf(x), &added,
                    weight, epsilon, RowsOf(out));
  }
  const CpuKernels& kernels = GetCpuKernels(device.isa());
  ForRows(x, device, [&](int64_t row) {
    kernels.add(x.Row(row), y.Row(row), x.cols);
    kernels.rms_norm(x.Row(row), weight, epsilon, x.cols, out.Row(row));
  });
}

void AddInPlace(const TensorView& x, const TensorView& y, Device& device) {
  CheckSameShape(x, y);
  if (device.kind() == DeviceKind::kCuda) {
    return LaunchOn(device, "adding", &CudaKernels::add, RowsOf(x), RowsOf(y));
  }
  const CpuKernels& kernels = GetCpuKernels(device.isa());
  ForRows(x, device, [&](int64_t row) { kernels.add(x.Row(row), y.Row(row), x.cols); });
}

void SwiGluInPlace(const TensorView& gate, const TensorView& up, Device& device) {
  CheckSameShape(gate, up);
  if (device.kind() == DeviceKind::kCuda) {
    return LaunchOn(device, "SwiGLU", &CudaKernels::swiglu, RowsOf(gate), RowsOf(up));
  }
  const CpuKernels& kernels = GetCpuKernels(device.isa());
  ForRows(gate, device,
          [&](int64_t row) { kernels.swiglu(gate.Row(row), up.Row(row), gate.cols); });
}

void ExpInPlace(float* x, int64_t n, float shift, float scale, CpuIsa isa) {
  GetCpuKernels(isa).exp(x, shift, scale, n);
}

}  // namespace layercake
