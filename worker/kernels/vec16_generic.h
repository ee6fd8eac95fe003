#pragma once

// Sixteen floats in an array: what the other two mean, for processors without AVX2.

#include <bit>
#include <cstdint>

#include "worker/kernels/numbers.h"
#include "worker/kernels/soft_fma.h"

namespace layercake {

struct Vec16Generic {
  // How many of these fit in the processor's registers: loops size their tiles by it.
  static constexpr int kRegisters = 4;
  float v[16];

  static Vec16Generic Broadcast(float x) {
    return Each([x](int) { return x; });
  }
  // p: [16] float, Half or BFloat16, of any alignment.
  template <typename T>
  static Vec16Generic Load(const T* p) {
    return Each([p](int i) { return ToFloat(p[i]); });
  }
  // p: [16].
  static Vec16Generic LoadBytes(const uint8_t* p) {
    return Each([p](int i) { return static_cast<float>(p[i]); });
  }
  // The lower and the upper four bits of p: [16].
  static void LoadNibbles(const uint8_t* p, Vec16Generic& low, Vec16Generic& high) {
    low = Each([p](int i) { return static_cast<float>(p[i] & 15); });
    high = Each([p](int i) { return static_cast<float>(p[i] >> 4); });
  }
  // p: [n]; the other lanes are 0.
  template <typename T>
  static Vec16Generic LoadFirst(const T* p, int n) {
    return Each([p, n](int i) { return i < n ? ToFloat(p[i]) : 0.0f; });
  }
  void Store(float* p) const { StoreFirst(p, 16); }
  void StoreFirst(float* p, int n) const {
    for (int i = 0; i < n; ++i) p[i] = v[i];
  }

  friend Vec16Generic operator+(const Vec16Generic& a, const Vec16Generic& b) {
    return Each([&](int i) { return a.v[i] + b.v[i]; });
  }
  friend Vec16Generic operator-(const Vec16Generic& a, const Vec16Generic& b) {
    return Each([&](int i) { return a.v[i] - b.v[i]; });
  }
  friend Vec16Generic operator*(const Vec16Generic& a, const Vec16Generic& b) {
    return Each([&](int i) { return a.v[i] * b.v[i]; });
  }
  friend Vec16Generic operator/(const Vec16Generic& a, const Vec16Generic& b) {
    return Each([&](int i) { return a.v[i] / b.v[i]; });
  }
  // a * b + c, rounded once.
  static Vec16Generic Fma(const Vec16Generic& a, const Vec16Generic& b, const Vec16Generic& c) {
    return Each([&](int i) { return SoftFma(a.v[i], b.v[i], c.v[i]); });
  }
  // `b` where either is NaN.
  static Vec16Generic Max(const Vec16Generic& a, const Vec16Generic& b) {
    return Each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Vec16Generic Min(const Vec16Generic& a, const Vec16Generic& b) {
    return Each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  // To the nearest integer, ties to even, for |a| < 2^22: above 2^23 floats have no fraction.
  static Vec16Generic Round(const Vec16Generic& a) {
    return Each([&](int i) { return (a.v[i] + 0x1.8p23f) - 0x1.8p23f; });
  }
  // 2^n for integral n in [-126, 127].
  static Vec16Generic Exp2OfInteger(const Vec16Generic& n) {
    return Each([&](int i) {
      const bool valid = n.v[i] >= -126 && n.v[i] <= 127;
      const int32_t biased = (valid ? static_cast<int32_t>(n.v[i]) : 0) + 127;
      return std::bit_cast<float>(biased << 23);
    });
  }
  // Lanes from `n` on become 0.
  Vec16Generic KeepFirst(int n) const {
    return Each([&](int i) { return i < n ? v[i] : 0.0f; });
  }

  // Lane i joins lane i + 8, then i + 4, i + 2, i + 1.
  float Sum() const {
    float sum[16];
    Store(sum);
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) sum[i] += sum[i + half];
    }
    return sum[0];
  }
  float MaxLane() const {
    float max = v[0];
    for (int i = 1; i < 16; ++i) max = max > v[i] ? max : v[i];
    return max;
  }
  // Into the first-level and the second-level cache.
  static void Prefetch(const void*) {}
  static void PrefetchFar(const void*) {}

 private:
  template <typename F>
  static Vec16Generic Each(F f) {
    Vec16Generic result;
    for (int i = 0; i < 16; ++i) result.v[i] = f(i);
    return result;
  }
};

}  // namespace layercake
