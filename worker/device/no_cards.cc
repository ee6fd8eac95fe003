// Stands in for cards_cuda.cc in a build without CUDA.

#include "worker/device/cards.h"

namespace layercake {

CudaRuntime* CudaRuntime::Real() { return nullptr; }

}  // namespace layercake
