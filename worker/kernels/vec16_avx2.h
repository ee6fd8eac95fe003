#pragma once

// Sixteen floats in two AVX2 registers. For variant_avx2.cc only; vec16_generic.h says what each
// operation means.

#include <immintrin.h>

#include <cstring>

#include "worker/kernels/numbers.h"

namespace layercake {

struct Vec16Avx2 {
  static constexpr int kRegisters = 8;
  __m256 lo, hi;

  static Vec16Avx2 Broadcast(float x) {
    const __m256 v = _mm256_set1_ps(x);
    return {v, v};
  }
  static Vec16Avx2 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static Vec16Avx2 Load(const Half* p) {
    return {_mm256_cvtph_ps(Load8(p)), _mm256_cvtph_ps(Load8(p + 8))};
  }
  static Vec16Avx2 Load(const BFloat16* p) { return {Widen(Load8(p)), Widen(Load8(p + 8))}; }
  static Vec16Avx2 LoadBytes(const uint8_t* p) {
    const __m128i x = Load8(p);
    return FromIntegers(_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8)));
  }
  static void LoadNibbles(const uint8_t* p, Vec16Avx2& low, Vec16Avx2& high) {
    const __m128i x = Load8(p);
    const __m256i first = _mm256_cvtepu8_epi32(x);
    const __m256i second = _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8));
    const __m256i mask = _mm256_set1_epi32(15);
    low = FromIntegers(_mm256_and_si256(first, mask), _mm256_and_si256(second, mask));
    high = FromIntegers(_mm256_srli_epi32(first, 4), _mm256_srli_epi32(second, 4));
  }
  template <typename T>
  static Vec16Avx2 LoadFirst(const T* p, int n) {
    alignas(32) T lanes[16] = {};
    std::memcpy(lanes, p, n * sizeof(T));
    return Load(lanes);
  }
  void Store(float* p) const {
    _mm256_storeu_ps(p, lo);
    _mm256_storeu_ps(p + 8, hi);
  }
  void StoreFirst(float* p, int n) const {
    alignas(32) float lanes[16];
    Store(lanes);
    std::memcpy(p, lanes, n * sizeof(float));
  }

  friend Vec16Avx2 operator+(Vec16Avx2 a, Vec16Avx2 b) {
    return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
  }
  friend Vec16Avx2 operator-(Vec16Avx2 a, Vec16Avx2 b) {
    return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
  }
  friend Vec16Avx2 operator*(Vec16Avx2 a, Vec16Avx2 b) {
    return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
  }
  friend Vec16Avx2 operator/(Vec16Avx2 a, Vec16Avx2 b) {
    return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
  }
  static Vec16Avx2 Fma(Vec16Avx2 a, Vec16Avx2 b, Vec16Avx2 c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  static Vec16Avx2 Max(Vec16Avx2 a, Vec16Avx2 b) {
    return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
  }
  static Vec16Avx2 Min(Vec16Avx2 a, Vec16Avx2 b) {
    return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
  }
  static Vec16Avx2 Round(Vec16Avx2 a) {
    constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.lo, kMode), _mm256_round_ps(a.hi, kMode)};
  }
  static Vec16Avx2 Exp2OfInteger(Vec16Avx2 n) { return {Exp2(n.lo), Exp2(n.hi)}; }
  Vec16Avx2 KeepFirst(int n) const {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i first = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
    const __m256i second = _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), lane);
    return {_mm256_and_ps(lo, _mm256_castsi256_ps(first)),
            _mm256_and_ps(hi, _mm256_castsi256_ps(second))};
  }

  float Sum() const {
    const __m256 x = _mm256_add_ps(lo, hi);
    const __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 z = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(z, _mm_movehdup_ps(z)));
  }
  float MaxLane() const {
    const __m256 x = _mm256_max_ps(lo, hi);
    const __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 z = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(z, _mm_movehdup_ps(z)));
  }
  static void Prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  static void PrefetchFar(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

 private:
  static __m128i Load8(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  static Vec16Avx2 FromIntegers(__m256i lo, __m256i hi) {
    return {_mm256_cvtepi32_ps(lo), _mm256_cvtepi32_ps(hi)};
  }
  static __m256 Widen(__m128i x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
  static __m256 Exp2(__m256 n) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
  }
};

}  // namespace layercake
