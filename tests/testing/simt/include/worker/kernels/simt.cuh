#pragma once

// worker/kernels/simt.cuh for the emulation; the contracts are there.

#include <cuda_runtime.h>

#include <bit>
#include <tuple>
#include <utility>

#include "worker/kernels/numbers.h"

namespace layercake {

template <typename... Parameters, typename... Arguments>
cudaError_t Launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   size_t shared_bytes, cudaStream_t stream, Arguments&&... arguments) {
  std::tuple<std::remove_cv_t<Parameters>...> bound(std::forward<Arguments>(arguments)...);
  return simt::Enqueue({grid, block, shared_bytes, stream, nullptr, 0}, name,
                       [kernel, bound] { std::apply(kernel, bound); });
}

template <typename T>
T& SharedAs() {
  return *static_cast<T*>(simt::SharedMemory());
}

inline float HalfBitsToFloat(uint16_t bits) { return ToFloat(Half{bits}); }
inline uint16_t FloatToHalfBits(float x) { return ToHalf(x).bits; }

}  // namespace layercake
