#include "worker/kernels/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <vector>

#include "tests/testing/kernel_testing.h"

namespace layercake {
namespace {

TEST(RopeTest, RotatesPairsOfEveryHead) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  for (const int64_t head_dim : {2, 10, 64}) {
    const int64_t rows = 19, heads = 3, cols = heads * head_dim, half = head_dim / 2;
    const std::vector<float> x = random.Normal(rows * cols);
    std::vector<float> turns = random.Normal(rows * half), angles(rows * head_dim), first;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < half; ++i) {
        angles[r * head_dim + i] = std::cos(turns[r * half + i]);
        angles[r * head_dim + half + i] = std::sin(turns[r * half + i]);
      }
    }
    for (const auto& device : TestDevices()) {
      // As columns of wider rows, the rest of which stays.
      std::vector<float> wide(rows * (cols + 5), 9);
      for (int64_t r = 0; r < rows; ++r) std::copy_n(&x[r * cols], cols, &wide[r * (cols + 5)]);
      ApplyRope(ViewOf(wide, cols + 5).Columns(0, cols), ViewOf(angles, head_dim), *device);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < cols; ++i) {
          const int64_t head = i / head_dim * head_dim, pair = i % half;
          const std::complex<double> before(x[r * cols + head + pair],
                                            x[r * cols + head + pair + half]);
          const std::complex<double> after =
              before * std::polar(1.0, double{turns[r * half + pair]});
          const double expected = i % head_dim < half ? after.real() : after.imag();
          ASSERT_NEAR(wide[r * (cols + 5) + i], expected, 1e-6);
        }
        for (int64_t i = cols; i < cols + 5; ++i) ASSERT_EQ(wide[r * (cols + 5) + i], 9);
      }
      if (first.empty()) first = wide;
      EXPECT_TRUE(SameBits(wide, first)) << DeviceText(*device);
    }
  }
}

}  // namespace
}  // namespace layercake
