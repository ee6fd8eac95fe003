#include "worker/kernels/numbers.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "tests/testing/kernel_testing.h"
#include "worker/kernels/matmul.h"
#include "worker/kernels/soft_fma.h"

namespace layercake {
namespace {

// By the definition of binary16.
float HalfByDefinition(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
}

TEST(HalfTest, WidensEveryValueExactly) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float expected = HalfByDefinition(static_cast<uint16_t>(bits));
    const float actual = ToFloat(Half{static_cast<uint16_t>(bits)});
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(actual)) << bits;
    } else {
      ASSERT_EQ(actual, expected) << bits;
      ASSERT_EQ(std::signbit(actual), std::signbit(expected)) << bits;
    }
  }
}

TEST(HalfTest, EveryValueComesBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Half half = {static_cast<uint16_t>(bits)};
    if (std::isnan(ToFloat(half))) continue;
    ASSERT_EQ(ToHalf(ToFloat(half)).bits, bits);
  }
}

TEST(HalfTest, RoundsToTheNearestAndTiesToEven) {
  for (uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const double low = HalfByDefinition(bits), high = HalfByDefinition(bits + 1);
    const float middle = static_cast<float>((low + high) / 2);  // exact
    EXPECT_EQ(ToHalf(middle).bits, bits % 2 == 0 ? bits : bits + 1);
    EXPECT_EQ(ToHalf(std::nextafter(middle, 0.0f)).bits, bits);
    EXPECT_EQ(ToHalf(-std::nextafter(middle, 1e9f)).bits, (bits + 1) | 0x8000);
  }
}

TEST(HalfTest, OverflowsToInfinityAndKeepsNan) {
  EXPECT_EQ(ToHalf(65519.99f).bits, 0x7bff);
  EXPECT_EQ(ToHalf(65520.0f).bits, 0x7c00);
  EXPECT_EQ(ToHalf(-1e30f).bits, 0xfc00);
  EXPECT_EQ(ToHalf(INFINITY).bits, 0x7c00);
  EXPECT_TRUE(std::isnan(ToFloat(ToHalf(NAN))));
}

TEST(BFloat16Test, RoundsToTheNearestAndTiesToEven) {
  for (uint32_t bits = 0; bits < 0x7f7f; ++bits) {
    const uint32_t low = bits << 16;
    EXPECT_EQ(ToFloat(BFloat16{static_cast<uint16_t>(bits)}), std::bit_cast<float>(low));
    EXPECT_EQ(ToBFloat16(std::bit_cast<float>(low)).bits, bits);
    EXPECT_EQ(ToBFloat16(std::bit_cast<float>(low + 0x7fff)).bits, bits);
    EXPECT_EQ(ToBFloat16(std::bit_cast<float>(low + 0x8000)).bits, bits + bits % 2);
    EXPECT_EQ(ToBFloat16(std::bit_cast<float>(low + 0x8001)).bits, bits + 1);
  }
  EXPECT_TRUE(std::isnan(ToFloat(ToBFloat16(NAN))));
  EXPECT_EQ(ToFloat(ToBFloat16(-INFINITY)), -INFINITY);
}

// A product with a 1 x 1 identity widens a weight in every variant.
TEST(HalfTest, EveryVariantWidensAlike) {
  std::vector<uint16_t> all;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00) != 0x7c00) all.push_back(static_cast<uint16_t>(bits));
  }
  for (const auto& device : TestDevices({1})) {
    auto matrix =
        PackedMatrix::Create(static_cast<int64_t>(all.size()), 1, DType::kF16, *device, "a test");
    ASSERT_TRUE(matrix.ok());
    matrix->PackRows(0, static_cast<int64_t>(all.size()), all.data(), DType::kF16, *device);
    std::vector<float> one = {1}, out(all.size());
    MatMul(ViewOf(one, 1), *matrix, nullptr, ViewOf(out, static_cast<int64_t>(all.size())),
           *device);
    for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(out[i], HalfByDefinition(all[i])) << all[i];
  }
}

TEST(SoftFmaTest, EqualsTheInstruction) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const auto check = [](float a, float b, float c) {
    const float expected = std::fma(a, b, c), actual = SoftFma(a, b, c);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(actual)) << a << " " << b << " " << c;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(actual), std::bit_cast<uint32_t>(expected))
          << std::hexfloat << a << " " << b << " " << c;
    }
  };
  // Any bits: zeros, infinities, NaNs and subnormals come up by exponent alone.
  for (int i = 0; i < 1000000; ++i) {
    const float a = std::bit_cast<float>(random.Bits()), b = std::bit_cast<float>(random.Bits());
    check(a, b, std::bit_cast<float>(random.Bits()));
    // Near cancellation, where rounding twice would show.
    check(a, b, std::bit_cast<float>(std::bit_cast<uint32_t>(-a * b) + (random.Bits() & 7)));
    // A tie of the product's rounding, broken by an addend far below.
    check(1 + 0x1p-12f, 1 + 0x1p-12f, std::bit_cast<float>(random.Bits()) * 0x1p-60f);
  }
  for (const float a : {0.0f, -0.0f, 1.0f, -1.0f, INFINITY, -INFINITY, NAN, 0x1p-149f}) {
    for (const float b : {0.0f, -0.0f, 0.5f, -2.0f, INFINITY, 0x1p-149f}) {
      for (const float c : {0.0f, -0.0f, 1.0f, -INFINITY, INFINITY, -0x1p-149f}) check(a, b, c);
    }
  }
}

}  // namespace
}  // namespace layercake
