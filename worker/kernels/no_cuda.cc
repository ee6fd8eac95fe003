// Stands in for the CUDA files in a build without CUDA.

#include "common/base/logging.h"
#include "worker/kernels/cuda_kernels.h"

namespace layercake {

const CudaKernels& GetCudaKernels() { LOG(FATAL) << "this program was built without CUDA"; }

}  // namespace layercake
