// The plain product of many rows, emulated or on a card: bit for bit that of few, whose kernel is
// another; and near the product in double.

#include <gtest/gtest.h>

#include <vector>

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
  CudaManyRowsTest() : DrawnProducts(61, &CudaKernels::matmul, kTypes) {}
};

TEST_F(CudaManyRowsTest, EqualFewRowsBitForBitAndAreNearTheProductInDouble) {
  constexpr int64_t kRows[] = {17, 31, 32, 33, 63, 64, 65, 96, 97, 127, 128, 129, 130};
  for (int seed = 0; seed < 2 * kSeeds; ++seed) {
    const int64_t rows = kRows[seed % std::ssize(kRows)];
    const int64_t outputs = 1 + random_.Below(150), inputs = DrawInputs();
    const int64_t stride = seed % 3 == 0 ? (inputs + 3) / 4 * 4 : inputs + random_.Below(4);
    const OfOne product = Draw(seed, {rows, outputs, inputs, stride});
    SCOPED_TRACE(product.text);
    MatMulArgs args = product.args;
    const auto many = Multiply(args, rows, kForManyRows);
    ASSERT_TRUE(SameBits(many, Multiply(args, rows, kForFewRows)));
    // A row alone, and in double.
    const int64_t row = random_.Below(rows);
    args.x += row * stride;
    args.rows = 1;
    const std::vector<float> of_row(many.begin() + row * outputs,
                                    many.begin() + (row + 1) * outputs);
    ASSERT_TRUE(SameBits(of_row, Multiply(args, 1, kForManyRows)));
    for (int64_t o = 0; o < outputs && IsBounded(seed); ++o) {
      ExpectElement(product, row, o, of_row[o], 1e-6, 0x1p-118);
    }
    if (HasFailure()) return;
  }
}

TEST_F(CudaManyRowsTest, OfExpertsWithAnyNumberOfRowsEqualFewRowsBitForBit) {
  constexpr int64_t kHints[] = {34, 70, 200};
  for (int seed = 0; seed < kSeeds; ++seed) {
    const OfExperts product = DrawExperts(seed, DrawInputs(), /*most_rows=*/150);
    SCOPED_TRACE(product.text);
    MatMulArgs args = product.args;
    args.rows = kHints[seed % std::ssize(kHints)];
    ASSERT_TRUE(SameBits(Multiply(args, product.rows, kForManyRows),
                         Multiply(args, product.rows, kForFewRows)));
  }
}

}  // namespace
}  // namespace layercake
