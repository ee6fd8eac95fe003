#pragma once

// From an op to its CUDA kernel. Private to this room.

#include "worker/device/cuda_device.h"
#include "worker/kernels/cuda_kernels.h"

namespace layercake {

inline FloatRows RowsOf(const TensorView& x) {
  DCHECK(x.dtype == DType::kF32);
  return {static_cast<float*>(x.data), x.rows, x.cols, x.stride};
}

// Launches `kernel` on a CUDA device; what goes wrong is the device's status from then on.
//   LaunchOn(device, "adding", &CudaKernels::add, RowsOf(x), RowsOf(y));
template <typename Kernel, typename... Arguments>
void LaunchOn(Device& device, absl::string_view name, Kernel kernel,
              const Arguments&... arguments) {
  CudaDevice& cuda = AsCuda(device);
  CUstream_st* const stream = cuda.stream();
  cuda.Record((GetCudaKernels().*kernel)(arguments..., stream), name);
}

}  // namespace layercake
