#pragma once

// For simt.cuh alone; plain, so that device code may include it.

#include <cstddef>

namespace layercake {

// Lets blocks of `kernel` have `bytes` of dynamic shared memory on the current device. Remembers
// what it allowed, so that CUDA is asked once for each kernel and not at every launch: by the
// kernel alone, since a process drives one card. Any thread may call it. Returns CUDA's
// cudaError_t.
int AllowSharedBytes(const void* kernel, size_t bytes);

}  // namespace layercake
