#pragma once

// Sixteen floats in one AVX-512 register. For variant_avx512.cc only; vec16_generic.h says what
// each operation means.

#include <immintrin.h>

#include "worker/kernels/numbers.h"

namespace layercake {

struct Vec16Avx512 {
  static constexpr int kRegisters = 32;
  __m512 v;

  static Vec16Avx512 Broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static Vec16Avx512 Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vec16Avx512 Load(const Half* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static Vec16Avx512 Load(const BFloat16* p) {
    return Widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Vec16Avx512 LoadBytes(const uint8_t* p) { return {_mm512_cvtepi32_ps(Bytes(p))}; }
  static void LoadNibbles(const uint8_t* p, Vec16Avx512& low, Vec16Avx512& high) {
    const __m512i x = Bytes(p);
    low = {_mm512_cvtepi32_ps(_mm512_and_si512(x, _mm512_set1_epi32(15)))};
    high = {_mm512_cvtepi32_ps(_mm512_srli_epi32(x, 4))};
  }
  static Vec16Avx512 LoadFirst(const float* p, int n) {
    return {_mm512_maskz_loadu_ps(Mask(n), p)};
  }
  static Vec16Avx512 LoadFirst(const Half* p, int n) {
    return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(Mask(n), p))};
  }
  static Vec16Avx512 LoadFirst(const BFloat16* p, int n) {
    return Widen(_mm256_maskz_loadu_epi16(Mask(n), p));
  }
  void Store(float* p) const { _mm512_storeu_ps(p, v); }
  void StoreFirst(float* p, int n) const { _mm512_mask_storeu_ps(p, Mask(n), v); }

  friend Vec16Avx512 operator+(Vec16Avx512 a, Vec16Avx512 b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend Vec16Avx512 operator-(Vec16Avx512 a, Vec16Avx512 b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend Vec16Avx512 operator*(Vec16Avx512 a, Vec16Avx512 b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend Vec16Avx512 operator/(Vec16Avx512 a, Vec16Avx512 b) { return {_mm512_div_ps(a.v, b.v)}; }
  static Vec16Avx512 Fma(Vec16Avx512 a, Vec16Avx512 b, Vec16Avx512 c) {
    return {_mm512_fmadd_ps(a.v, b.v, c.v)};
  }
  static Vec16Avx512 Max(Vec16Avx512 a, Vec16Avx512 b) { return {_mm512_max_ps(a.v, b.v)}; }
  static Vec16Avx512 Min(Vec16Avx512 a, Vec16Avx512 b) { return {_mm512_min_ps(a.v, b.v)}; }
  static Vec16Avx512 Round(Vec16Avx512 a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static Vec16Avx512 Exp2OfInteger(Vec16Avx512 n) {
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(biased, 23))};
  }
  Vec16Avx512 KeepFirst(int n) const { return {_mm512_maskz_mov_ps(Mask(n), v)}; }

  float Sum() const {
    const __m256 x = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 z = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(z, _mm_movehdup_ps(z)));
  }
  float MaxLane() const { return _mm512_reduce_max_ps(v); }
  static void Prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  static void PrefetchFar(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

 private:
  static __m512i Bytes(const uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static __mmask16 Mask(int n) { return static_cast<__mmask16>((1u << n) - 1); }
  static Vec16Avx512 Widen(__m256i x) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16))};
  }
};

}  // namespace layercake
