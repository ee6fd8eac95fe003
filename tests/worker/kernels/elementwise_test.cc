#include "worker/kernels/elementwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/testing/kernel_testing.h"
#include "worker/kernels/embedding.h"

namespace layercake {
namespace {

constexpr int64_t kDims[] = {1, 15, 16, 40, 255, 896};

TEST(RmsNormTest, MatchesDoubleAndIsTheSameEverywhere) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const auto devices = TestDevices();
  for (const int64_t dim : kDims) {
    std::vector<float> x = random.Normal(37 * dim), weight = random.Normal(dim);
    std::vector<float> first;
    for (const auto& device : devices) {
      std::vector<float> out(x.size());
      RmsNorm(ViewOf(x, dim), weight.data(), 1e-5f, ViewOf(out, dim), *device);
      for (int64_t r = 0; r < 37; ++r) {
        double squares = 0;
        for (int64_t i = 0; i < dim; ++i) squares += double{x[r * dim + i]} * x[r * dim + i];
        const double scale = 1 / std::sqrt(squares / static_cast<double>(dim) + 1e-5);
        for (int64_t i = 0; i < dim; ++i) {
          const double expected = x[r * dim + i] * scale * weight[i];
          ASSERT_NEAR(out[r * dim + i], expected, 1e-6 * (1 + std::abs(expected)));
        }
      }
      if (first.empty()) first = out;
      EXPECT_TRUE(SameBits(out, first)) << DeviceText(*device) << ", " << dim;
      std::vector<float> in_place = x;
      RmsNorm(ViewOf(in_place, dim), weight.data(), 1e-5f, ViewOf(in_place, dim), *device);
      EXPECT_TRUE(SameBits(in_place, first));
    }
  }
}

TEST(SwiGluTest, MatchesDoubleAndIsTheSameEverywhere) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const auto devices = TestDevices();
  for (const int64_t dim : kDims) {
    std::vector<float> both = random.Normal(33 * 2 * dim);
    for (float& value : both) value *= 10;
    both[0] = 1000;  // sigmoid of these is 1 and 0
    both[dim / 2] = -1000;
    std::vector<float> first;
    for (const auto& device : devices) {
      std::vector<float> out = both;
      const TensorView rows = ViewOf(out, 2 * dim);
      SwiGluInPlace(rows.Columns(0, dim), rows.Columns(dim, dim), *device);
      for (int64_t r = 0; r < 33; ++r) {
        for (int64_t i = 0; i < dim; ++i) {
          const double gate = both[r * 2 * dim + i], up = both[r * 2 * dim + dim + i];
          const double expected = gate / (1 + std::exp(-gate)) * up;
          ASSERT_NEAR(rows.Row(r)[i], expected, 1e-6 * (1e-3 + std::abs(expected)));
          ASSERT_EQ(rows.Row(r)[dim + i], up);
        }
      }
      if (first.empty()) first = out;
      EXPECT_TRUE(SameBits(out, first)) << DeviceText(*device) << ", " << dim;
    }
  }
}

TEST(AddTest, AddsEveryElement) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  for (const auto& device : TestDevices()) {
    for (const int64_t dim : kDims) {
      std::vector<float> x = random.Normal(29 * dim), y = random.Normal(29 * dim), sum;
      for (size_t i = 0; i < x.size(); ++i) sum.push_back(x[i] + y[i]);
      AddInPlace(ViewOf(x, dim), ViewOf(y, dim), *device);
      EXPECT_TRUE(SameBits(x, sum)) << DeviceText(*device) << ", " << dim;
    }
  }
}

TEST(ExpTest, IsWithinTwoUnitsAndTheSameEverywhere) {
  std::vector<float> inputs;
  for (float x = -87.3f; x < 88; x += 0.00137f) inputs.push_back(x);
  std::vector<float> first;
  for (const CpuIsa isa : SupportedCpuIsas()) {
    std::vector<float> values = inputs;
    ExpInPlace(values.data(), static_cast<int64_t>(values.size()), 0, 1, isa);
    for (size_t i = 0; i < inputs.size(); ++i) {
      const double exact = std::exp(double{inputs[i]});
      const float near = static_cast<float>(exact);
      const double unit = std::nextafter(near, INFINITY) - near;
      ASSERT_LE(std::abs(values[i] - exact), 2 * unit) << inputs[i];
    }
    if (first.empty()) first = values;
    EXPECT_TRUE(SameBits(values, first)) << CpuIsaName(isa);
  }
}

TEST(ExpTest, ShiftsScalesClampsAndKeepsNan) {
  for (const CpuIsa isa : SupportedCpuIsas()) {
    std::vector<float> values = {3, 5, -1e30f, -INFINITY, NAN, 1e30f};
    ExpInPlace(values.data(), 6, 5, 0.5f, isa);
    EXPECT_NEAR(values[0], std::exp(-1.0), 1e-7);
    EXPECT_EQ(values[1], 1);
    EXPECT_NEAR(values[2] / std::exp(double{-87.3f}), 1, 1e-6);
    EXPECT_EQ(values[3], values[2]);
    EXPECT_TRUE(std::isnan(values[4]));
    EXPECT_NEAR(values[5] / std::exp(88.0), 1, 1e-6);
  }
}

TEST(LookUpRowsTest, WidensTheRowsAskedFor) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const auto devices = TestDevices({2});
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    std::vector<float> table = random.Normal(50 * 21, dtype), stored(50 * 21);
    ConvertNumbers(table.data(), DType::kF32, 50 * 21, stored.data(), dtype);
    std::vector<int32_t> ids;
    for (int i = 0; i < 70; ++i) ids.push_back(static_cast<int32_t>(random.Below(50)));
    std::vector<float> out(70 * 21);
    LookUpRows({stored.data(), dtype, 50, 21, 21}, ids, ViewOf(out, 21), *devices[0]);
    for (int64_t i = 0; i < 70; ++i) {
      for (int64_t j = 0; j < 21; ++j) ASSERT_EQ(out[i * 21 + j], table[ids[i] * 21 + j]);
    }
  }
}

}  // namespace
}  // namespace layercake
