// The product of many rows on tensor cores, emulated or on a card: bit for bit that of few, whose
// kernel is another, in tiles of either size; and near the product in double.

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/testing/kernel_testing.h"
#include "tests/worker/cuda/drawn_products.h"

namespace layercake {
namespace {

constexpr int kSeeds = 20;
constexpr DType kTypes[] = {DType::kBF16, DType::kF16};
// Of how many multiprocessors a product thinks decides the size of tiles.
constexpr int kMultiprocessors[] = {0, 1 << 20};
constexpr int64_t kFewRows = 64;  // at most

class CudaTensorRowsTest : public DrawnProducts {
 protected:
  CudaTensorRowsTest() : DrawnProducts(80, &CudaKernels::matmul_tensor, kTypes) {}

  // Two of three draws are of vectors of inputs.
  int64_t DrawInputsFor(int draw) {
    const int64_t inputs = DrawInputs();
    return draw % 3 == 0 ? inputs : (inputs + 3) / 4 * 4;
  }
  std::vector<float> MultiplyAFewAtATime(MatMulArgs args, int64_t rows) {
    std::vector<float> all;
    for (int64_t row = 0; row < rows; row += kFewRows) {
      args.rows = std::min(kFewRows, rows - row);
      const std::vector<float> few = Multiply(args, args.rows, 1);
      all.insert(all.end(), few.begin(), few.end());
      args.x += kFewRows * args.x_stride;
    }
    return all;
  }
};

TEST_F(CudaTensorRowsTest, EqualFewRowsBitForBitAndAreNearTheProductInDouble) {
  constexpr int64_t kRows[] = {65, 66, 95, 96, 97, 127, 128, 129, 150, 200, 257};
  for (int seed = 0; seed < 2 * kSeeds; ++seed) {
    const int64_t rows = kRows[seed % std::ssize(kRows)];
    const int64_t outputs = 1 + random_.Below(300), inputs = DrawInputsFor(seed);
    const int64_t stride = seed % 3 == 1 ? inputs : inputs + random_.Below(3) * 4;
    const OfOne product = Draw(seed, {rows, outputs, inputs, stride});
    SCOPED_TRACE(product.text);
    MatMulArgs args = product.args;
    const auto few = MultiplyAFewAtATime(args, rows);
    for (const int multiprocessors : kMultiprocessors) {
      ASSERT_TRUE(SameBits(Multiply(args, rows, multiprocessors), few)) << multiprocessors;
    }
    // The fewest rows, of whole panels or halves.
    args.rows = 1 + random_.Below(8);
    for (const int multiprocessors : kMultiprocessors) {
      const auto fewest = Multiply(args, args.rows, multiprocessors);
      ASSERT_TRUE(SameBits(fewest, {few.begin(), few.begin() + args.rows * outputs}))
          << multiprocessors;
    }
    for (int i = 0; i < 200 && IsBounded(seed); ++i) {
      const int64_t row = random_.Below(rows), o = random_.Below(outputs);
      ExpectElement(product, row, o, few[row * outputs + o], 0x1p-16, 0x1p-100);
    }
    if (HasFailure()) return;
  }
}

TEST_F(CudaTensorRowsTest, OfExpertsWithAnyNumberOfRowsEqualFewRowsBitForBit) {
  constexpr int64_t kHints[] = {65, 90, 300};
  for (int seed = 0; seed < kSeeds; ++seed) {
    const OfExperts product = DrawExperts(seed, DrawInputsFor(seed), /*most_rows=*/300);
    SCOPED_TRACE(product.text);
    MatMulArgs args = product.args;
    const auto few = Multiply(args, product.rows, 1);  // tiles of few rows, one by one
    args.rows = kHints[seed % std::ssize(kHints)];
    for (const int multiprocessors : kMultiprocessors) {
      ASSERT_TRUE(SameBits(Multiply(args, product.rows, multiprocessors), few)) << multiprocessors;
    }
  }
}

}  // namespace
}  // namespace layercake
