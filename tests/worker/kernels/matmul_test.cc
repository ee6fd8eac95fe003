#include "worker/kernels/matmul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/testing/kernel_testing.h"
#include "tests/testing/random_integers.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

struct Shape {
  int64_t rows, outputs, inputs;
};

struct Problem {
  Problem(RandomInput& random, Shape shape, DType dtype)
      : shape(shape),
        dtype(dtype),
        x(random.Normal(shape.rows * shape.inputs)),
        weights(random.Normal(shape.outputs * shape.inputs, dtype)),
        bias(random.Normal((shape.outputs + 63) / 64 * 64)) {}

  // Packed in two pieces that need not end at a panel.
  PackedMatrix Pack(Device& device) const {
    auto matrix = PackedMatrix::Create(shape.outputs, shape.inputs, dtype, device, "a test");
    CHECK(matrix.ok()) << matrix.status();
    std::vector<float> stored(weights.size());
    ConvertNumbers(weights.data(), DType::kF32, static_cast<int64_t>(weights.size()), stored.data(),
                   dtype);
    const int64_t first = shape.outputs / 3;
    const char* bytes = reinterpret_cast<const char*>(stored.data());
    matrix->PackRows(0, first, bytes, dtype, device);
    matrix->PackRows(first, shape.outputs - first, bytes + first * shape.inputs * DTypeBytes(dtype),
                     dtype, device);
    return *std::move(matrix);
  }

  std::vector<float> Multiply(Device& device, const PackedMatrix& matrix, bool with_bias) {
    std::vector<float> out(shape.rows * shape.outputs, -1);
    MatMul(ViewOf(x, shape.inputs), matrix, with_bias ? bias.data() : nullptr,
           ViewOf(out, shape.outputs), device);
    return out;
  }

  // One chain per element, as the contract says.
  std::vector<float> Chains(bool with_bias) const {
    std::vector<float> out;
    for (int64_t r = 0; r < shape.rows; ++r) {
      for (int64_t o = 0; o < shape.outputs; ++o) {
        float sum = with_bias ? bias[o] : 0;
        for (int64_t k = 0; k < shape.inputs; ++k) {
          sum = std::fma(weights[o * shape.inputs + k], x[r * shape.inputs + k], sum);
        }
        out.push_back(sum);
      }
    }
    return out;
  }

  Shape shape;
  DType dtype;
  std::vector<float> x, weights, bias;
};

TEST(MatMulTest, EqualsTheChainOfEveryElementOnEveryDevice) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const auto devices = TestDevices();
  std::vector<Shape> shapes = {{1, 1, 1}, {1, 64, 300}, {7, 65, 129}, {40, 130, 257}, {61, 70, 33}};
  for (int64_t rows = 1; rows <= 40; ++rows) shapes.push_back({rows, 71, 131});
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const Shape& shape : shapes) {
      Problem problem(random, shape, dtype);
      const bool with_bias = random.Below(2) == 1;
      const std::vector<float> expected = problem.Chains(with_bias);
      for (const auto& device : devices) {
        const PackedMatrix matrix = problem.Pack(*device);
        EXPECT_TRUE(SameBits(problem.Multiply(*device, matrix, with_bias), expected))
            << DeviceText(*device) << ", " << DTypeName(dtype) << ", rows " << shape.rows
            << ", outputs " << shape.outputs << ", inputs " << shape.inputs;
      }
    }
  }
}

TEST(MatMulTest, OfIntegersEqualsThatOfTheNumbersTheyStandFor) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const auto devices = TestDevices();
  for (const Quantization& format : IntegerFormats()) {
    for (const int64_t rows : {1, 2, 3, 4, 5, 6, 7, 20}) {
      const int64_t outputs = 1 + random.Below(150), inputs = 1 + random.Below(400);
      const RandomIntegers integers(random, outputs, inputs, format,
                                    random.Below(2) == 0 ? DType::kF16 : DType::kBF16);
      std::vector<float> x = random.Normal(rows * inputs);
      const std::vector<float> bias = random.Normal((outputs + 63) / 64 * 64);
      std::vector<float> expected;
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t o = 0; o < outputs; ++o) {
          float sum = bias[o];
          for (int64_t k = 0; k < inputs; ++k) {
            sum = std::fma(integers.Weight(o, k), x[r * inputs + integers.Input(k)], sum);
          }
          expected.push_back(sum);
        }
      }
      for (const auto& device : devices) {
        std::vector<float> out(rows * outputs, -1);
        MatMul(ViewOf(x, inputs), integers.Pack(*device), bias.data(), ViewOf(out, outputs),
               *device, ProductScratch(*device, rows, inputs));
        ASSERT_TRUE(SameBits(out, expected))
            << DeviceText(*device) << ", " << FormatText(format) << ", rows " << rows
            << ", outputs " << outputs << ", inputs " << inputs;
      }
    }
  }
}

TEST(MatMulTest, IsNearTheProductInDouble) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const auto devices = TestDevices({2});
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    Problem problem(random, {5, 67, 1000}, dtype);
    for (const auto& device : devices) {
      const std::vector<float> out = problem.Multiply(*device, problem.Pack(*device), true);
      for (int64_t r = 0; r < 5; ++r) {
        for (int64_t o = 0; o < 67; ++o) {
          double sum = problem.bias[o], magnitude = 1;
          for (int64_t k = 0; k < 1000; ++k) {
            const double term =
                double{problem.weights[o * 1000 + k]} * double{problem.x[r * 1000 + k]};
            sum += term;
            magnitude += std::abs(term);
          }
          ASSERT_NEAR(out[r * 67 + o], sum, 1e-6 * magnitude);
        }
      }
    }
  }
}

TEST(MatMulTest, ReadsAndWritesColumnsOfWiderRows) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  for (const auto& device : TestDevices()) {
    Problem problem(random, {9, 100, 50}, DType::kBF16);
    std::vector<float> wide_x(9 * 80, NAN), wide_out(9 * 150, 7);
    for (int64_t r = 0; r < 9; ++r) {
      std::copy_n(&problem.x[r * 50], 50, &wide_x[r * 80 + 10]);
    }
    const PackedMatrix matrix = problem.Pack(*device);
    MatMul(ViewOf(wide_x, 80).Columns(10, 50), matrix, nullptr,
           ViewOf(wide_out, 150).Columns(20, 100), *device);
    const std::vector<float> expected = problem.Chains(false);
    for (int64_t r = 0; r < 9; ++r) {
      for (int64_t o = 0; o < 150; ++o) {
        const bool inside = o >= 20 && o < 120;
        ASSERT_EQ(wide_out[r * 150 + o], inside ? expected[r * 100 + o - 20] : 7);
      }
    }
  }
}

TEST(PackedMatrixTest, TakesWhatTheCostsSay) {
  for (const auto& device : TestDevices({1})) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      LC_ASSERT_OK_AND_ASSIGN(const auto matrix,
                              PackedMatrix::Create(130, 33, dtype, *device, "a test"));
      EXPECT_EQ(matrix.bytes(), PackedMatrixBytes(130, 33, dtype));
    }
  }
}

TEST(PackedMatrixTest, OfIntegersTakesWhatTheCostsSay) {
  RandomInput random;
  for (const auto& device : TestDevices({1})) {
    for (const Quantization& format : IntegerFormats()) {
      const RandomIntegers integers(random, 130, 333, format, DType::kF16);
      EXPECT_EQ(integers.Pack(*device).bytes(), QuantizedMatrixBytes(130, 333, format));
    }
  }
}

TEST(PackedMatrixTest, RoundsRowsOfAnotherType) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const auto devices = TestDevices({1});
  Problem problem(random, {1, 3, 5}, DType::kF32);
  for (const DType to : {DType::kF16, DType::kBF16}) {
    LC_ASSERT_OK_AND_ASSIGN(auto matrix, PackedMatrix::Create(3, 5, to, *devices[0], "a test"));
    // One byte off: tensors in a file are aligned to nothing.
    std::vector<char> bytes(3 * 5 * 4 + 1);
    memcpy(&bytes[1], problem.weights.data(), 60);
    matrix.PackRows(0, 3, &bytes[1], DType::kF32, *devices[0]);
    std::vector<float> stored(15);
    ConvertNumbers(problem.weights.data(), DType::kF32, 15, stored.data(), to);
    ConvertNumbers(std::vector(stored).data(), to, 15, problem.weights.data(), DType::kF32);
    EXPECT_TRUE(SameBits(problem.Multiply(*devices[0], matrix, false), problem.Chains(false)));
  }
}

}  // namespace
}  // namespace layercake
