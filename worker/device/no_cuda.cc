// Stands in for the CUDA files in a build without CUDA.

#include "worker/device/cublas_lt_functions.h"
#include "worker/device/device.h"

namespace layercake {

absl::StatusOr<std::unique_ptr<Device>> Device::CreateCuda(int, int) {
  return absl::UnimplementedError("this program was built without CUDA; use --device cpu");
}

absl::StatusOr<const CublasLtFunctions*> LoadCublasLt() {
  return absl::UnimplementedError("this program was built without CUDA");
}

}  // namespace layercake
