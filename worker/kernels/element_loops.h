#pragma once

// The exponential of every kernel: our own, so that it is the same on every processor. For
// variant_*.cc only.

#include <cstdint>

namespace layercake {

// exp(x) within two units in the last place on [-87.3, 88], where x is clamped to; NaN stays NaN.
// x = n ln 2 + r with r in [-ln 2 / 2, ln 2 / 2], and a polynomial for exp(r).
// Source: coefficients of Cephes expf, Moshier 1989.
template <class V>
[[gnu::always_inline]] inline V Exp(V x) {
  x = V::Min(V::Broadcast(88.0f), V::Max(V::Broadcast(-87.3f), x));
  const V n = V::Round(x * V::Broadcast(0x1.715476p+0f));
  V r = V::Fma(n, V::Broadcast(-0x1.62e4p-1f), x);
  r = V::Fma(n, V::Broadcast(-0x1.7f7d1cp-20f), r);
  V p = V::Broadcast(1.9875691500e-4f);
  p = V::Fma(p, r, V::Broadcast(1.3981999507e-3f));
  p = V::Fma(p, r, V::Broadcast(8.3334519073e-3f));
  p = V::Fma(p, r, V::Broadcast(4.1665795894e-2f));
  p = V::Fma(p, r, V::Broadcast(1.6666665459e-1f));
  p = V::Fma(p, r, V::Broadcast(5.0000001201e-1f));
  p = V::Fma(p, r * r, r) + V::Broadcast(1.0f);
  return p * V::Exp2OfInteger(n);
}

template <class V>
struct ElementLoops {
  // Applies f(vector, index) -> vector to x[0, n) in place.
  template <class F>
  static void Map(float* x, int64_t n, F f) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) f(V::Load(x + i), i, 16).Store(x + i);
    if (i < n) {
      const int left = static_cast<int>(n - i);
      f(V::LoadFirst(x + i, left), i, left).StoreFirst(x + i, left);
    }
  }
  static V LoadUpTo(const float* p, int count) {
    return count == 16 ? V::Load(p) : V::LoadFirst(p, count);
  }

  static void ExpAll(float* x, float shift, float scale, int64_t n) {
    const V s = V::Broadcast(shift), m = V::Broadcast(scale);
    Map(x, n, [&](V v, int64_t, int) { return Exp((v - s) * m); });
  }
  static void Add(float* x, const float* y, int64_t n) {
    Map(x, n, [&](V v, int64_t i, int count) { return v + LoadUpTo(y + i, count); });
  }
  static void SwiGlu(float* gate, const float* up, int64_t n) {
    const V one = V::Broadcast(1), zero = V::Broadcast(0);
    Map(gate, n, [&](V v, int64_t i, int count) {
      return v / (one + Exp(zero - v)) * LoadUpTo(up + i, count);
    });
  }
  static void RmsNorm(const float* x, const float* weight, float epsilon, int64_t n, float* out) {
    V squares = V::Broadcast(0);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const V v = V::Load(x + i);
      squares = V::Fma(v, v, squares);
    }
    if (i < n) {
      const V v = V::LoadFirst(x + i, static_cast<int>(n - i));
      squares = V::Fma(v, v, squares);
    }
    const float mean = squares.Sum() / static_cast<float>(n) + epsilon;
    const V inverse = V::Broadcast(1.0f / __builtin_sqrtf(mean));
    for (i = 0; i < n; i += 16) {
      const int count = static_cast<int>(n - i < 16 ? n - i : 16);
      const V y = LoadUpTo(x + i, count) * inverse * LoadUpTo(weight + i, count);
      if (count == 16) {
        y.Store(out + i);
      } else {
        y.StoreFirst(out + i, count);
      }
    }
  }
};

}  // namespace layercake
