#pragma once

// What the kernels need beyond CUDA C++ itself. Tests put a file of this name before this one,
// which does the same on the host (tests/testing/simt).

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "worker/kernels/shared_memory.h"

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
  constexpr size_t kUnasked = 48 << 10;  // every card gives a block so much
  if (shared_bytes > kUnasked) {
    const int error = AllowSharedBytes(reinterpret_cast<const void*>(kernel), shared_bytes);
    if (error != cudaSuccess) return static_cast<cudaError_t>(error);
  }
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

// x & mask | bits, which the compiler would take two instructions for.
__device__ __forceinline__ uint32_t MaskAndSet(uint32_t x, uint32_t mask, uint32_t bits) {
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(x), "r"(mask), "r"(bits));
  return result;
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 610

// sum + a · b of four signed bytes each. Of compute capability 6.1 and newer.
__device__ __forceinline__ int DotBytes(uint32_t a, uint32_t b, int sum) {
  asm("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

#else

__device__ __forceinline__ int DotBytes(uint32_t, uint32_t, int) {
  asm volatile("trap;");
  return 0;
}

#endif

// What follows is of compute capability 8.0 and newer; kernels for older cards do not call it.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800

// Begins to copy kBytes, 4, 8 or 16, to shared memory, or zeros where `global` holds none, while
// the thread goes on. Both are aligned to kBytes. Until the copy was waited for, what is there is
// anything.
template <int kBytes>
__device__ __forceinline__ void CopyAsync(void* shared, const void* global, bool holds) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = holds ? kBytes : 0;
  if constexpr (kBytes == 16) {  // past the first-level cache
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global),
                 "n"(kBytes), "r"(bytes)
                 : "memory");
  }
}
// The copies that the thread began since the last one are a group.
__device__ __forceinline__ void EndCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits for all groups of the thread's copies but the last kLeft. Those of other threads are there
// when they too have waited, and a barrier was passed.
template <int kLeft>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

// Two f32 as bf16, to nearest even, `low` in the lower half.
__device__ __forceinline__ uint32_t PackBF16(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// a - b of two pairs of bf16.
__device__ __forceinline__ uint32_t SubtractBF16(uint32_t a, uint32_t b) {
  constexpr uint32_t kMinusOnes = 0xbf80bf80u;
  uint32_t difference;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(difference) : "r"(b), "r"(kMinusOnes), "r"(a));
  return difference;
}

// d += a · b on the tensor cores: a warp's bf16 matrices of 16 x 16 and 16 x 8, and their product
// in f32; lanes hold parts of them as PTX's mma.m16n8k16 has it. For whole warps.
__device__ __forceinline__ void MultiplyAddBF16(const uint32_t (&a)[4], const uint32_t (&b)[2],
                                                float (&d)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The same in f16.
__device__ __forceinline__ uint32_t PackF16(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
__device__ __forceinline__ void MultiplyAddF16(const uint4& a, const uint32_t (&b)[2],
                                               float (&d)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b[0]), "r"(b[1]));
}

#else

template <int kBytes>
__device__ __forceinline__ void CopyAsync(void*, const void*, bool) {
  asm volatile("trap;");
}
__device__ __forceinline__ void EndCopies() {}
template <int kLeft>
__device__ __forceinline__ void WaitForCopies() {}
__device__ __forceinline__ uint32_t PackBF16(float, float) {
  asm volatile("trap;");
  return 0;
}
__device__ __forceinline__ uint32_t SubtractBF16(uint32_t, uint32_t) {
  asm volatile("trap;");
  return 0;
}
__device__ __forceinline__ void MultiplyAddBF16(const uint32_t (&)[4], const uint32_t (&)[2],
                                                float (&)[4]) {
  asm volatile("trap;");
}
__device__ __forceinline__ uint32_t PackF16(float, float) {
  asm volatile("trap;");
  return 0;
}
__device__ __forceinline__ void MultiplyAddF16(const uint4&, const uint32_t (&)[2], float (&)[4]) {
  asm volatile("trap;");
}

#endif

}  // namespace layercake
