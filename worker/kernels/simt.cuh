#pragma once

// What the kernels need beyond CUDA C++ itself. Tests put a file of this name before this one,
// which does the same on the host (tests/testing/simt).

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace layercake {

// Runs `kernel` on a grid of blocks, each with `shared_bytes` of dynamic shared memory. `name` is
// for reports of the emulation.
template <typename... Parameters, typename... Arguments>
cudaError_t Launch(const char* /*name*/, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   size_t shared_bytes, cudaStream_t stream, Arguments&&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

// The block's dynamic shared memory; the only kind that kernels here use.
template <typename T>
__device__ T& SharedAs() {
  extern __shared__ __align__(16) unsigned char layercake_shared[];
  return *reinterpret_cast<T*>(layercake_shared);
}

// IEEE binary16 to f32, exactly, and back, to nearest even. Spelt in PTX, which every toolkit has.
__device__ __forceinline__ float HalfBitsToFloat(uint16_t bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}
__device__ __forceinline__ uint16_t FloatToHalfBits(float x) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}

}  // namespace layercake
