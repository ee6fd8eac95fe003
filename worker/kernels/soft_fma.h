#pragma once

#include <bit>
#include <cstdint>

namespace layercake {

// a * b + c rounded once, for processors without the instruction: bitwise what std::fma gives, and
// several times faster than the C library's emulation. The product is exact in double; the sum is
// rounded to odd there, so that rounding it again to float gives what rounding once would.
// Source: Boldo & Melquiond 2008, "Emulation of FMA and correctly rounded sums".
inline float SoftFma(float a, float b, float c) {
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = c;
  const double sum = product + addend;
  const double part = sum - product;
  const double error = (product - (sum - part)) + (addend - part);
  const int64_t bits = std::bit_cast<int64_t>(sum);
  const int64_t inexact = (error > 0) | (error < 0);
  const int64_t toward_zero = (error > 0) != (sum > 0);
  const int64_t even = ~bits & 1;
  const int64_t step = (inexact & even) * (1 - 2 * toward_zero);
  return static_cast<float>(std::bit_cast<double>(bits + step));
}

}  // namespace layercake
