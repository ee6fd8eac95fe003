// The plain product of many rows, emulated or on a card: bit for bit that of few, whose kernel is
// another; and near the product in double.

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/kernel_testing.h"
#include "tests/worker/cuda/drawn_products.h"

namespace layercake {
namespace {

constexpr int kSeeds = 20;
constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
// Of how many multiprocessors a product thinks decides which kernel it goes to.
constexpr int kForManyRows = 0;
constexpr int kForFewRows = 1 << 20;

class CudaManyRowsTest : public DrawnProducts {
 protected:
  CudaManyRowsTest() : DrawnProducts(61, &CudaKernels::matmul) {}
};

TEST_F(CudaManyRowsTest, EqualFewRowsBitForBitAndAreNearTheProductInDouble) {
  constexpr int64_t kRows[] = {17, 31, 32, 33, 63, 64, 65, 96, 97, 127, 128, 129, 130};
  for (int seed = 0; seed < 2 * kSeeds; ++seed) {
    const int64_t rows = kRows[seed % std::ssize(kRows)];
    const int64_t outputs = 1 + random_.Below(150), inputs = DrawInputs(random_);
    const int64_t stride = seed % 3 == 0 ? (inputs + 3) / 4 * 4 : inputs + random_.Below(4);
    const Weights weights =
        Draw(random_, outputs, inputs, seed, kTypes, /*ordered=*/true, *device_);
    SCOPED_TRACE(absl::StrCat(weights.text, ", ", rows, " rows, ", outputs, " x ", inputs,
                              ", draw ", seed, ", seed ", random_.seed()));
    const auto x = DrawX(rows, inputs, stride, seed);
    const auto bias = random_.Normal((outputs + 63) / 64 * 64);
    const Buffer on_x = Upload(*device_, x), on_bias = Upload(*device_, bias);
    MatMulArgs args = ArgsOf(weights, on_x, stride, rows, outputs);
    if (seed % 2 == 0) args.bias = on_bias.As<float>();
    const auto many = Multiply(args, rows, kForManyRows);
    ASSERT_TRUE(SameBits(many, Multiply(args, rows, kForFewRows)));
    // A row alone, and in double.
    const int64_t row = random_.Below(rows);
    args.x += row * stride;
    args.rows = 1;
    const std::vector<float> of_row(many.begin() + row * outputs,
                                    many.begin() + (row + 1) * outputs);
    ASSERT_TRUE(SameBits(of_row, Multiply(args, 1, kForManyRows)));
    if (!IsBounded(seed)) continue;
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = args.bias == nullptr ? 0 : bias[o], magnitude = 0x1p-118;
      for (int64_t k = 0; k < inputs; ++k) {
        const double term = double{x[row * stride + k]} * weights.values[o * inputs + k];
        sum += term;
        magnitude += std::abs(term);
      }
      ASSERT_NEAR(of_row[o], sum, 1e-6 * (magnitude + std::abs(sum)));
    }
  }
}

TEST_F(CudaManyRowsTest, OfExpertsWithAnyNumberOfRowsEqualFewRowsBitForBit) {
  constexpr int64_t kHints[] = {34, 70, 200};
  for (int seed = 0; seed < kSeeds; ++seed) {
    const OfExperts product = DrawExperts(seed, DrawInputs(random_), /*most_rows=*/150, kTypes);
    SCOPED_TRACE(product.text);
    MatMulArgs args = product.args;
    args.rows = kHints[seed % std::ssize(kHints)];
    ASSERT_TRUE(SameBits(Multiply(args, product.rows, kForManyRows),
                         Multiply(args, product.rows, kForFewRows)));
  }
}

}  // namespace
}  // namespace layercake
