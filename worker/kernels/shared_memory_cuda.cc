#include "worker/kernels/shared_memory.h"

#include <cuda_runtime_api.h>

#include <unordered_map>

#include "common/base/mutex.h"

namespace layercake {

int AllowSharedBytes(const void* kernel, size_t bytes) {
  struct Allowed {
    Mutex mutex;
    std::unordered_map<const void*, size_t> bytes ABSL_GUARDED_BY(mutex);
  };
  static auto& allowed = *new Allowed;
  const MutexLock lock(allowed.mutex);
  size_t& most = allowed.bytes[kernel];
  if (bytes <= most) return cudaSuccess;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (error == cudaSuccess) most = bytes;
  return error;
}

}  // namespace layercake
