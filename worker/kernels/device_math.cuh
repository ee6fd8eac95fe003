#pragma once

// Arithmetic that the kernels share.

#include <cstdint>

#include "common/model/dtype.h"
#include "worker/kernels/simt.cuh"

namespace layercake {

inline constexpr int kWarpLanes = 32;
inline constexpr unsigned kAllLanes = 0xffffffff;

// Numbers as stored.
struct F32Bits {
  float value;
};
struct F16Bits {
  uint16_t bits;
};
struct BF16Bits {
  uint16_t bits;
};

__device__ __forceinline__ float Widen(F32Bits x) { return x.value; }
__device__ __forceinline__ float Widen(F16Bits x) { return HalfBitsToFloat(x.bits); }
__device__ __forceinline__ float Widen(BF16Bits x) {
  return __uint_as_float(static_cast<unsigned int>(x.bits) << 16);
}

// To nearest, ties to even; NaN stays NaN.
__device__ __forceinline__ void Narrow(float x, F32Bits& to) { to.value = x; }
__device__ __forceinline__ void Narrow(float x, F16Bits& to) { to.bits = FloatToHalfBits(x); }
__device__ __forceinline__ void Narrow(float x, BF16Bits& to) {
  const unsigned int bits = __float_as_uint(x);
  const bool nan = (bits & 0x7fffffff) > 0x7f800000;
  to.bits =
      static_cast<uint16_t>(nan ? bits >> 16 | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Sixteen bytes at once: 4 f32 or 8 16-bit numbers.
template <typename T>
struct Vector {
  static constexpr int kCount = 16 / static_cast<int>(sizeof(T));
  union {
    uint4 words;
    T values[kCount];
  };
};

// The CPU's exponential (element_loops.h), step by step.
__device__ __forceinline__ float Exp(float x) {
  // Written so that NaN stays NaN.
  x = x < -87.3f ? -87.3f : x;
  x = x > 88.0f ? 88.0f : x;
  const float n = rintf(x * 0x1.715476p+0f);
  float r = fmaf(n, -0x1.62e4p-1f, x);
  r = fmaf(n, -0x1.7f7d1cp-20f, r);
  float p = 1.9875691500e-4f;
  p = fmaf(p, r, 1.3981999507e-3f);
  p = fmaf(p, r, 8.3334519073e-3f);
  p = fmaf(p, r, 4.1665795894e-2f);
  p = fmaf(p, r, 1.6666665459e-1f);
  p = fmaf(p, r, 5.0000001201e-1f);
  p = fmaf(p, r * r, r) + 1.0f;
  return p * __int_as_float((static_cast<int>(n) + 127) << 23);
}

// Over a warp, in one fixed order; every lane gets it.
__device__ __forceinline__ float WarpSum(float x) {
  for (int with = kWarpLanes / 2; with > 0; with /= 2) x += __shfl_xor_sync(kAllLanes, x, with);
  return x;
}
__device__ __forceinline__ float WarpMax(float x) {
  for (int with = kWarpLanes / 2; with > 0; with /= 2) {
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, with));
  }
  return x;
}

// f(F32Bits{}), f(F16Bits{}) or f(BF16Bits{}).
template <typename F>
auto WithStorage(DType dtype, F f) {
  switch (dtype) {
    case DType::kF16:
      return f(F16Bits{});
    case DType::kBF16:
      return f(BF16Bits{});
    case DType::kF32:
      break;
  }
  return f(F32Bits{});
}

constexpr unsigned CeilDivide(int64_t value, int64_t unit) {
  return static_cast<unsigned>((value + unit - 1) / unit);
}

}  // namespace layercake
