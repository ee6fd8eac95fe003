// Products by cuBLASLt, on a card that has it or emulated: near the product in double, within their
// rows, and not where kernels are to do them.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/test_card.h"
#include "tests/worker/cuda/drawn_products.h"
#include "worker/device/cublas_lt.h"
#include "worker/device/cuda_device.h"
#include "worker/kernels/matmul.h"

namespace layercake {
namespace {

constexpr int kSeeds = 20;
constexpr int64_t kFewestRows = 5;
constexpr DType kTypes[] = {DType::kBF16, DType::kF16, DType::kF32};

class CudaDenseProductsTest : public DrawnProducts, public ::testing::WithParamInterface<int> {
 protected:
  CudaDenseProductsTest() : DrawnProducts(GetParam(), &CudaKernels::matmul, kTypes) {}

  void SetUp() override {
    const auto functions = LoadCublasLt();
    if (!functions.ok()) GTEST_SKIP() << functions.status();
    LC_ASSERT_OK_AND_ASSIGN(auto cublas,
                            CublasLt::Create(**functions, AsCuda(*device_), kFewestRows));
    AsCuda(*device_).set_cublas_lt(std::move(cublas));
  }

  // What a card's own refuses is its affair.
  void TearDown() override {
    const CublasLt* const cublas = AsCuda(*device_).cublas_lt();
    if (cublas != nullptr && CardIsEmulated()) {
      EXPECT_FALSE(cublas->has_refused());
    }
  }

  // [rows, outputs], which are columns of wider rows whose others stay as they are.
  std::vector<float> MultiplyAmongColumns(const OfOne& product, int64_t before, int64_t after) {
    const auto& [rows, outputs, inputs, stride] = product.size;
    const int64_t width = before + outputs + after;
    const Buffer out = Upload(*device_, std::vector<float>(rows * width, -7));
    const TensorView x = F32View(product.on_x.As<float>(), rows, stride).Columns(0, inputs);
    MatMul(x, product.weights.matrix, product.args.bias,
           F32View(out.As<float>(), rows, width).Columns(before, outputs), *device_);
    const std::vector<float> all = Download(*device_, out, rows * width);
    std::vector<float> values;
    for (int64_t i = 0; i < rows * width; ++i) {
      const int64_t col = i % width - before;
      if (col >= 0 && col < outputs) {
        values.push_back(all[i]);
      } else if (all[i] != -7) {
        ADD_FAILURE() << "column " << col << " of row " << i / width << " is " << all[i];
        break;
      }
    }
    return values;
  }

  static double Tolerance(DType dtype) { return dtype == DType::kBF16 ? 0x1p-15 : 0x1p-17; }
};

TEST_P(CudaDenseProductsTest, AreNearTheProductInDouble) {
  for (int seed = 0; seed < 3 * kSeeds; ++seed) {
    const int draw = 2 * seed;  // numbers, no integers
    const int64_t rows = kFewestRows + random_.Below(60), inputs = DrawInputs();
    const int64_t outputs = 1 + random_.Below(seed % 4 == 0 ? 63 : 300);
    const OfOne product = Draw(draw, {rows, outputs, inputs, inputs + random_.Below(5)});
    SCOPED_TRACE(product.text);
    const auto values = MultiplyAmongColumns(product, random_.Below(5), random_.Below(5));
    for (int i = 0; i < 300; ++i) {
      const int64_t row = random_.Below(rows), o = random_.Below(outputs);
      const float* const x = product.x.data() + row * product.size.stride;
      if (std::all_of(x, x + inputs, [](float value) { return std::isfinite(value); })) {
        ExpectElement(product, row, o, values[row * outputs + o],
                      Tolerance(product.weights.matrix.dtype()), 0x1p-100);
      } else {
        ASSERT_FALSE(std::isfinite(values[row * outputs + o]));
      }
    }
    if (HasFailure()) return;
  }
  EXPECT_OK(device_->status());
}

// The largest inputs are those of one row.
TEST_P(CudaDenseProductsTest, OfInputsThatSixteenBitsDoNotHold) {
  constexpr int64_t kRows = 9, kOutputs = 70, kInputs = 200;
  for (const int draw : {0, 2, 10}) {  // of kTypes, in order
    for (const float large : {3e4f, 7e4f, 1e9f, 1e30f}) {
      OfOne product = Draw(draw, {kRows, kOutputs, kInputs, kInputs});
      const DType dtype = product.weights.matrix.dtype();
      for (int64_t k = 0; k < kInputs; ++k) product.x[k] *= large;
      product.on_x = Upload(*device_, product.x);
      const auto values = MultiplyAmongColumns(product, 0, 0);
      for (int64_t o = 0; o < kOutputs; ++o) {
        ExpectElement(product, 0, o, values[o], Tolerance(dtype), 0x1p-100);
        // Of the others, f16's share of the scale leaves what is above 2^-38 of the largest.
        const double least = dtype == DType::kF16 ? 1e3 * large * 0x1p-38 / Tolerance(dtype) : 0;
        ExpectElement(product, 1, o, values[kOutputs + o], Tolerance(dtype), least);
      }
    }
  }
}

TEST_P(CudaDenseProductsTest, OfMoreRowsThanTheScratchHolds) {
  constexpr int64_t kInputs = 28700, kRows = 310;
  if (GetParam() < 70) return;  // takes f32 alone
  const OfOne product = Draw(GetParam() < 80 ? 2 : 0, {kRows, 3, kInputs, kInputs});  // f16, bf16
  const auto values = MultiplyAmongColumns(product, 1, 1);
  for (int64_t row = 0; row < kRows; row += 7) {
    ExpectElement(product, row, row % 3, values[row * 3 + row % 3],
                  Tolerance(product.weights.matrix.dtype()), 0x1p-100);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, CudaDenseProductsTest, ::testing::Values(52, 70, 80),
                         [](const auto& info) { return std::to_string(info.param); });

}  // namespace
}  // namespace layercake
