#include <cuda_runtime.h>

#include "worker/device/card_code.h"

namespace layercake {
namespace {

// All kernels of a program are compiled for the same cards.
__global__ void AnyKernel() {}

}  // namespace

int AskCodeCapability(int* capability) {
  cudaFuncAttributes attributes = {};
  const cudaError_t error = cudaFuncGetAttributes(&attributes, AnyKernel);
  *capability = attributes.ptxVersion < attributes.binaryVersion ? attributes.ptxVersion
                                                                 : attributes.binaryVersion;
  return error;
}

}  // namespace layercake
