// When products go to cuBLASLt and when they stay, and what goes wrong with it, on emulated cards.

#include "worker/device/cublas_lt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/testing/emulated_device.h"
#include "tests/testing/kernel_testing.h"
#include "tests/testing/random_integers.h"
#include "tests/testing/simt/fake_cublas_lt.h"
#include "tests/testing/status_matchers.h"
#include "worker/kernels/matmul.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kRows = CublasLt::kFewestRows, kOutputs = 100, kInputs = 96;

class CublasLtTest : public ::testing::Test {
 protected:
  explicit CublasLtTest(int major = 8) : device_(EmulatedDevice({.major = major})) {
    simt::SetCublasLt({});
  }

  absl::StatusOr<std::unique_ptr<CublasLt>> Create() {
    return CublasLt::Create(**LoadCublasLt(), AsCuda(*device_));
  }
  void Use() {
    LC_ASSERT_OK_AND_ASSIGN(auto cublas, Create());
    AsCuda(*device_).set_cublas_lt(std::move(cublas));
  }

  PackedMatrix Weights(DType dtype) {
    auto matrix = PackedMatrix::Create(kOutputs, kInputs, dtype, *device_, "a test");
    CHECK(matrix.ok()) << matrix.status();
    const std::vector<float> values = random_.Normal(kOutputs * kInputs, dtype);
    matrix->PackRows(0, kOutputs, values.data(), DType::kF32, *device_);
    return *std::move(matrix);
  }
  std::vector<float> Multiply(const PackedMatrix& weights, int64_t rows) {
    const Buffer x = Upload(*device_, inputs_), bias = Upload(*device_, bias_);
    const Buffer out = Upload(*device_, std::vector<float>(rows * kOutputs));
    const auto scratch = device_->Allocate(InputPiecesBytes(rows, kInputs), "a test");
    CHECK(scratch.ok()) << scratch.status();
    MatMul(F32View(x.As<float>(), rows, kInputs), weights, bias.As<float>(),
           F32View(out.As<float>(), rows, kOutputs), *device_, *scratch);
    return Download(*device_, out, rows * kOutputs);
  }

  RandomInput random_;
  std::unique_ptr<Device> device_;
  const std::vector<float> inputs_ = random_.Normal(kRows * kInputs);
  const std::vector<float> bias_ = random_.Normal(128);
};

TEST_F(CublasLtTest, TakesProductsOfManyRowsAlone) {
  Use();
  const PackedMatrix weights = Weights(DType::kBF16);
  Multiply(weights, kRows - 1);
  EXPECT_EQ(simt::CountCublasLt().products, 0);
  Multiply(weights, kRows);
  EXPECT_EQ(simt::CountCublasLt().products, 4) << "two pieces of a whole panel and of a part";
}

TEST_F(CublasLtTest, TakesNoIntegers) {
  Use();
  for (const Quantization& format : IntegerFormats()) {
    const RandomIntegers integers(random_, kOutputs, kInputs, format, DType::kF16);
    Multiply(integers.Pack(*device_), kRows);
  }
  EXPECT_EQ(simt::CountCublasLt().products, 0);
}

TEST_F(CublasLtTest, FindsAnAlgorithmOnceForEqualShapes) {
  Use();
  const PackedMatrix weights = Weights(DType::kF16), others = Weights(DType::kF16);
  const auto first = Multiply(weights, kRows);
  EXPECT_EQ(simt::CountCublasLt().algorithms, 2);
  Multiply(others, kRows);
  EXPECT_TRUE(SameBits(Multiply(weights, kRows), first));
  EXPECT_EQ(simt::CountCublasLt().algorithms, 2);
}

TEST_F(CublasLtTest, KeepsNothingBeyondItsEnd) {
  const int before = simt::CountCublasLt().open;
  Use();
  Multiply(Weights(DType::kBF16), kRows);
  EXPECT_GT(simt::CountCublasLt().open, before);
  AsCuda(*device_).set_cublas_lt(nullptr);
  EXPECT_EQ(simt::CountCublasLt().open, before);
}

// The kernels do again what was begun, from the bias on.
TEST_F(CublasLtTest, WhatItRefusesTheKernelsDo) {
  const PackedMatrix weights = Weights(DType::kF16);
  const auto expected = Multiply(weights, kRows);
  Use();
  for (const simt::CublasLtScript& script :
       {simt::CublasLtScript{.finds_no_algorithm = true}, simt::CublasLtScript{.refuses_from = 0},
        simt::CublasLtScript{.refuses_from = 1}, simt::CublasLtScript{.refuses_from = 3}}) {
    Use();  // no plan is known
    simt::SetCublasLt(script);
    EXPECT_TRUE(SameBits(Multiply(weights, kRows), expected));
    EXPECT_OK(device_->status());
  }
}

TEST_F(CublasLtTest, ACardThatItDoesNotKnowIsNamed) {
  simt::SetCublasLt({.no_handle = true});
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                 HasSubstr("cuBLASLt 13.1.0 refuses Emulated CUDA 8.0: "
                                           "CUBLAS_STATUS_ARCH_MISMATCH")));
}

class OldCardCublasLtTest : public CublasLtTest {
 protected:
  OldCardCublasLtTest() : CublasLtTest(7) {}
};

TEST_F(OldCardCublasLtTest, MultipliesWhatTheCardIsFastAt) {
  Use();
  Multiply(Weights(DType::kBF16), kRows);
  EXPECT_EQ(simt::CountCublasLt().products, 0) << "7.x has no bf16";
  Multiply(Weights(DType::kF16), kRows);
  EXPECT_EQ(simt::CountCublasLt().products, 4);
  Multiply(Weights(DType::kF32), kRows);
  EXPECT_EQ(simt::CountCublasLt().products, 6);
}

}  // namespace
}  // namespace layercake
