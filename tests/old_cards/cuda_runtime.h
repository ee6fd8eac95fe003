#pragma once

// As much of CUDA as the kernels name, for clang's CUDA mode without a toolkit: CUDA 13's own headers know no card
// older than 7.5. Declarations only; what a device function does here, clang's builtins say.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#define __host__ __attribute__((host))
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))

struct uint3 {
  unsigned int x, y, z;
};
struct dim3 {
  constexpr dim3(unsigned int x = 1, unsigned int y = 1, unsigned int z = 1) : x(x), y(y), z(z) {}
  unsigned int x, y, z;
};
struct alignas(8) uint2 {
  unsigned int x, y;
};
struct alignas(16) uint4 {
  unsigned int x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

#include <__clang_cuda_builtin_vars.h>

// The host's side.
struct CUstream_st;
using cudaStream_t = CUstream_st*;
enum cudaError_t { cudaSuccess = 0 };
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};
template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t*, void (*)(Parameters...), Arguments&&...) {
  return cudaSuccess;
}
struct cudaFuncAttributes {
  int ptxVersion, binaryVersion;
};
template <typename Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, Kernel*) {
  return cudaSuccess;
}
cudaError_t cudaGetLastError();

// The device's side.
#define LAYERCAKE_DEVICE static __inline__ __attribute__((device, always_inline))

LAYERCAKE_DEVICE float fmaf(float a, float b, float c) { return __nvvm_fma_rn_f(a, b, c); }
LAYERCAKE_DEVICE float sqrtf(float x) { return __nvvm_sqrt_rn_f(x); }
LAYERCAKE_DEVICE float rintf(float x) { return __builtin_rintf(x); }
LAYERCAKE_DEVICE float floorf(float x) { return __nvvm_floor_f(x); }
LAYERCAKE_DEVICE float fabsf(float x) { return __nvvm_fabs_f(x); }
LAYERCAKE_DEVICE float fmaxf(float a, float b) { return __nvvm_fmax_f(a, b); }
LAYERCAKE_DEVICE float fminf(float a, float b) { return __nvvm_fmin_f(a, b); }
LAYERCAKE_DEVICE int min(int a, int b) { return a < b ? a : b; }
LAYERCAKE_DEVICE int max(int a, int b) { return a > b ? a : b; }

template <typename To, typename From>
LAYERCAKE_DEVICE To LayercakeBits(From from) {
  return __builtin_bit_cast(To, from);
}
LAYERCAKE_DEVICE float __int_as_float(int x) { return LayercakeBits<float>(x); }
LAYERCAKE_DEVICE float __uint_as_float(unsigned int x) { return LayercakeBits<float>(x); }
LAYERCAKE_DEVICE int __float_as_int(float x) { return LayercakeBits<int>(x); }
LAYERCAKE_DEVICE unsigned int __float_as_uint(float x) { return LayercakeBits<unsigned int>(x); }
LAYERCAKE_DEVICE unsigned int __byte_perm(unsigned int x, unsigned int y, unsigned int selector) {
  return __nvvm_prmt(x, y, selector);
}

LAYERCAKE_DEVICE void __syncwarp(unsigned int mask = 0xffffffff) { __nvvm_bar_warp_sync(mask); }
LAYERCAKE_DEVICE int __syncthreads_or(int predicate) { return __nvvm_bar0_or(predicate); }
LAYERCAKE_DEVICE int __syncthreads_count(int predicate) { return __nvvm_bar0_popc(predicate); }
LAYERCAKE_DEVICE void __threadfence() { __nvvm_membar_gl(); }

LAYERCAKE_DEVICE unsigned int __ballot_sync(unsigned int mask, int predicate) {
  return __nvvm_vote_ballot_sync(mask, predicate);
}
LAYERCAKE_DEVICE int __any_sync(unsigned int mask, int predicate) {
  return __nvvm_vote_any_sync(mask, predicate);
}
LAYERCAKE_DEVICE int __all_sync(unsigned int mask, int predicate) {
  return __nvvm_vote_all_sync(mask, predicate);
}

// Of four bytes each; the last argument is the width that the lanes are divided into.
#define LAYERCAKE_SHUFFLE(name, builtin, limits)                                              \
  template <typename T>                                                                       \
  LAYERCAKE_DEVICE T name(unsigned int mask, T value, int lane, int width = 32) {             \
    static_assert(sizeof(T) == 4);                                                            \
    return LayercakeBits<T>(                                                                  \
        builtin(mask, LayercakeBits<int>(value), lane, (32 - width) << 8 | (limits)));        \
  }
LAYERCAKE_SHUFFLE(__shfl_sync, __nvvm_shfl_sync_idx_i32, 31)
LAYERCAKE_SHUFFLE(__shfl_xor_sync, __nvvm_shfl_sync_bfly_i32, 31)
LAYERCAKE_SHUFFLE(__shfl_down_sync, __nvvm_shfl_sync_down_i32, 31)
LAYERCAKE_SHUFFLE(__shfl_up_sync, __nvvm_shfl_sync_up_i32, 0)
#undef LAYERCAKE_SHUFFLE

LAYERCAKE_DEVICE int __popc(unsigned int bits) { return __builtin_popcount(bits); }

LAYERCAKE_DEVICE int atomicAdd(int* to, int value) { return __nvvm_atom_add_gen_i(to, value); }
LAYERCAKE_DEVICE float atomicAdd(float* to, float value) {
  return __nvvm_atom_add_gen_f(to, value);
}
LAYERCAKE_DEVICE int atomicMax(int* to, int value) { return __nvvm_atom_max_gen_i(to, value); }
LAYERCAKE_DEVICE int atomicCAS(int* to, int expected, int value) {
  return __nvvm_atom_cas_gen_i(to, expected, value);
}
template <typename T>
LAYERCAKE_DEVICE T __ldg(const T* from) {
  return *from;
}
#undef LAYERCAKE_DEVICE
