// The CUDA kernels, emulated or on a card, against references summed in double: fresh inputs, and
// where they are emulated a fresh order of threads, for every seed.

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/testing/expert_routing.h"
#include "tests/testing/kernel_testing.h"
#include "tests/testing/random_integers.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_card.h"
#include "worker/device/cuda_device.h"
#include "worker/kernels/elementwise.h"
#include "worker/kernels/embedding.h"
#include "worker/kernels/matmul.h"

namespace layercake {
namespace {

constexpr int kSeeds = 20;
constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

class CudaKernelsTest : public ::testing::Test {
 protected:
  explicit CudaKernelsTest(int compute_capability = 80) : device_(TestCard(compute_capability)) {
    ShuffleThreads(random_.Bits());
  }

  TensorView View(const Buffer& buffer, int64_t rows, int64_t cols) {
    return F32View(buffer.As<float>(), rows, cols);
  }
  // `values` as the bytes of `dtype`.
  std::vector<char> Stored(const std::vector<float>& values, DType dtype) {
    std::vector<char> bytes(values.size() * DTypeBytes(dtype));
    ConvertNumbers(values.data(), DType::kF32, static_cast<int64_t>(values.size()), bytes.data(),
                   dtype);
    return bytes;
  }

  RandomInput random_;
  std::unique_ptr<Device> device_;
};

TEST_F(CudaKernelsTest, RmsNormAloneAndAfterAdding) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    const int64_t rows = 1 + random_.Below(4), cols = 1 + random_.Below(700);
    const auto x = random_.Normal(rows * cols), y = random_.Normal(rows * cols);
    const auto weight = random_.Normal(cols);
    const Buffer on_x = Upload(*device_, x), on_y = Upload(*device_, y);
    const Buffer on_weight = Upload(*device_, weight), alone = Upload(*device_, x);
    const TensorView view = View(on_x, rows, cols), sum = View(on_y, rows, cols);
    RmsNorm(view, on_weight.As<float>(), 1e-5f, View(alone, rows, cols), *device_);
    AddRmsNorm(view, sum, on_weight.As<float>(), 1e-5f, sum, *device_);
    const auto normed = Download(*device_, alone, rows * cols);
    const auto added = Download(*device_, on_x, rows * cols);
    const auto both = Download(*device_, on_y, rows * cols);
    for (int64_t r = 0; r < rows; ++r) {
      double squares = 0, squares_of_sum = 0;
      for (int64_t i = r * cols; i < (r + 1) * cols; ++i) {
        ASSERT_EQ(added[i], x[i] + y[i]);
        squares += double{x[i]} * x[i];
        squares_of_sum += double{added[i]} * added[i];
      }
      const double n = static_cast<double>(cols);
      for (int64_t i = 0; i < cols; ++i) {
        const double w = weight[i];
        ASSERT_NEAR(normed[r * cols + i], x[r * cols + i] / std::sqrt(squares / n + 1e-5) * w, 1e-5)
            << random_.seed();
        ASSERT_NEAR(both[r * cols + i],
                    added[r * cols + i] / std::sqrt(squares_of_sum / n + 1e-5) * w, 1e-5);
      }
    }
  }
}

TEST_F(CudaKernelsTest, SwiGluAndAddOnColumnsOfWiderRows) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    const int64_t rows = 1 + random_.Below(3), cols = 1 + random_.Below(600);
    const auto x = random_.Normal(rows * 2 * cols);
    const Buffer buffer = Upload(*device_, x), other = Upload(*device_, x);
    const TensorView wide = View(buffer, rows, 2 * cols);
    SwiGluInPlace(wide.Columns(0, cols), wide.Columns(cols, cols), *device_);
    AddInPlace(View(other, rows, 2 * cols), wide, *device_);
    const auto out = Download(*device_, buffer, rows * 2 * cols);
    const auto sum = Download(*device_, other, rows * 2 * cols);
    for (int64_t i = 0; i < rows * 2 * cols; ++i) {
      const bool is_gate = i % (2 * cols) < cols;
      const double expected = is_gate ? x[i] / (1 + std::exp(-double{x[i]})) * x[i + cols] : x[i];
      ASSERT_NEAR(out[i], expected, 1e-6 * (1 + std::abs(expected))) << random_.seed();
      ASSERT_EQ(sum[i], x[i] + out[i]);
    }
  }
}

TEST_F(CudaKernelsTest, EmbeddingsAreRowsOfTheTable) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    const DType dtype = kTypes[seed % 3];
    const int64_t vocab = 1 + random_.Below(50), cols = 1 + random_.Below(400);
    const auto table = random_.Normal(vocab * cols, dtype);
    const auto bytes = Stored(table, dtype);
    LC_ASSERT_OK_AND_ASSIGN(const Buffer on_table,
                            device_->Allocate(static_cast<int64_t>(bytes.size()), "a test"));
    const TensorView view = {on_table.data(), dtype, vocab, cols, cols};
    ASSERT_OK(device_->CopyFromHost(view, bytes.data(), static_cast<int64_t>(bytes.size())));
    std::vector<int32_t> ids(1 + random_.Below(9));
    for (int32_t& id : ids) id = static_cast<int32_t>(random_.Below(vocab));
    const int64_t rows = static_cast<int64_t>(ids.size());
    const Buffer out = Upload(*device_, std::vector<float>(rows * cols));
    LookUpRows(view, ids, View(out, rows, cols), *device_);
    const auto values = Download(*device_, out, rows * cols);
    for (int64_t i = 0; i < rows * cols; ++i) {
      ASSERT_EQ(values[i], table[ids[i / cols] * cols + i % cols]) << random_.seed();
    }
  }
}

// Without tensor cores and with them.
class CudaProductsTest : public CudaKernelsTest, public ::testing::WithParamInterface<int> {
 protected:
  CudaProductsTest() : CudaKernelsTest(GetParam()) {}

  // Of the terms' magnitudes: two pieces of bf16 are an input to 2^-17 of it, and with two of an
  // f16 weight, what is left of one times what is left of the other is not added.
  double Tolerance(DType weights) const {
    if (!AsCuda(*device_).tier().tensor_cores) return 1e-6;
    return (weights == DType::kF16 ? 3 : 1) * 0x1p-17 + 1e-6;
  }
  bool TakesInputsApart() const {
    const CudaTier& tier = AsCuda(*device_).tier();
    return tier.dot_products && !tier.tensor_cores;
  }
};

INSTANTIATE_TEST_SUITE_P(Tiers, CudaProductsTest, ::testing::Values(52, 61, 80),
                         ::testing::PrintToStringParamName());

// Up to a few tiles of rows, and more now and then.
int64_t DrawRows(RandomInput& random, int seed) {
  return 1 + random.Below(seed % 5 == 4 ? 150 : 20);
}

struct Product {
  int64_t outputs, inputs;
  std::vector<float> weights, bias;
  PackedMatrix matrix;
  Buffer on_bias;
};

// Packed in two pieces that need not end at a panel, from another type than it is kept in.
Product MakeProduct(RandomInput& random, DType dtype, Device& device) {
  Product p = {1 + random.Below(150), 1 + random.Below(400), {}, {}, {}, {}};
  p.weights = random.Normal(p.outputs * p.inputs, dtype);
  p.bias = random.Normal((p.outputs + 63) / 64 * 64);
  p.on_bias = Upload(device, p.bias);
  auto matrix = PackedMatrix::Create(p.outputs, p.inputs, dtype, device, "a test");
  CHECK(matrix.ok()) << matrix.status();
  p.matrix = *std::move(matrix);
  const int64_t first = p.outputs / 3;
  p.matrix.PackRows(0, first, p.weights.data(), DType::kF32, device);
  p.matrix.PackRows(first, p.outputs - first, p.weights.data() + first * p.inputs, DType::kF32,
                    device);
  return p;
}

TEST_P(CudaProductsTest, ProductsAreNearThoseInDouble) {
  for (int seed = 0; seed < 2 * kSeeds; ++seed) {
    const Product p = MakeProduct(random_, kTypes[seed % 3], *device_);
    const int64_t rows = DrawRows(random_, seed);
    const auto x = random_.Normal(rows * p.inputs);
    const Buffer on_x = Upload(*device_, x);
    const Buffer out = Upload(*device_, std::vector<float>(rows * p.outputs));
    const float* const bias = seed % 2 == 0 ? p.on_bias.As<float>() : nullptr;
    MatMul(View(on_x, rows, p.inputs), p.matrix, bias, View(out, rows, p.outputs), *device_);
    const auto values = Download(*device_, out, rows * p.outputs);
    for (int64_t i = 0; i < rows * p.outputs; ++i) {
      const int64_t r = i / p.outputs, o = i % p.outputs;
      double sum = bias == nullptr ? 0 : p.bias[o], magnitude = 1;
      for (int64_t k = 0; k < p.inputs; ++k) {
        const double term = double{x[r * p.inputs + k]} * p.weights[o * p.inputs + k];
        sum += term;
        magnitude += std::abs(term);
      }
      ASSERT_NEAR(values[i], sum, Tolerance(p.matrix.dtype()) * magnitude) << random_.seed();
    }
  }
}

TEST_P(CudaProductsTest, ARowsProductDoesNotDependOnTheOtherRows) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    const Product p = MakeProduct(random_, kTypes[seed % 3], *device_);
    const int64_t most = seed % 5 == 4 ? 130 : 19;
    const auto x = random_.Normal(most * p.inputs);
    const Buffer on_x = Upload(*device_, x);
    const Buffer out = Upload(*device_, std::vector<float>(most * p.outputs));
    std::vector<float> expected;
    for (const int64_t rows : {most, most / 2, int64_t{1}, int64_t{2}, int64_t{3}, int64_t{8}}) {
      MatMul(View(on_x, rows, p.inputs), p.matrix, nullptr, View(out, rows, p.outputs), *device_);
      const auto values = Download(*device_, out, rows * p.outputs);
      if (expected.empty()) expected = values;
      ASSERT_TRUE(SameBits(values, {expected.begin(), expected.begin() + rows * p.outputs}))
          << rows << " rows, seed " << random_.seed();
    }
  }
}

TEST_P(CudaProductsTest, ProductsOfIntegersAreNearThoseInDoubleWhateverTheRows) {
  for (const Quantization& format : IntegerFormats()) {
    const int64_t outputs = 1 + random_.Below(150), inputs = 1 + random_.Below(400);
    const RandomIntegers integers(random_, outputs, inputs, format,
                                  random_.Below(2) == 0 ? DType::kF16 : DType::kBF16);
    const PackedMatrix matrix = integers.Pack(*device_);
    const int64_t most = random_.Below(8) == 0 ? 75 : 11;
    const auto x = random_.Normal(most * inputs);
    const auto bias = random_.Normal((outputs + 63) / 64 * 64);
    const Buffer on_x = Upload(*device_, x), on_bias = Upload(*device_, bias);
    const Buffer out = Upload(*device_, std::vector<float>(most * outputs));
    const Buffer scratch = ProductScratch(*device_, most, inputs);
    std::vector<float> expected;
    for (const int64_t rows : {most, int64_t{1}, int64_t{2}, int64_t{4}, int64_t{10}}) {
      MatMul(View(on_x, rows, inputs), matrix, on_bias.As<float>(), View(out, rows, outputs),
             *device_, scratch);
      const auto values = Download(*device_, out, rows * outputs);
      if (expected.empty()) expected = values;
      ASSERT_TRUE(SameBits(values, {expected.begin(), expected.begin() + rows * outputs}))
          << rows << " rows, " << FormatText(format) << ", seed " << random_.seed();
    }
    std::vector<float> in_order(inputs);
    std::vector<double> errors(inputs);
    for (int64_t i = 0; i < most * outputs; ++i) {
      const int64_t r = i / outputs, o = i % outputs;
      for (int64_t k = 0; k < inputs; ++k) in_order[k] = x[r * inputs + integers.Input(k)];
      if (o == 0 && TakesInputsApart()) errors = integers.InputErrors(in_order);
      double sum = bias[o], magnitude = 1, error = 0;
      for (int64_t k = 0; k < inputs; ++k) {
        const double weight = integers.Weight(o, k);
        sum += in_order[k] * weight;
        magnitude += std::abs(in_order[k] * weight);
        error += errors[k] * std::abs(weight);
      }
      ASSERT_NEAR(expected[i], sum, Tolerance(DType::kF32) * magnitude + error)
          << FormatText(format) << ", seed " << random_.seed();
    }
  }
}

TEST_F(CudaKernelsTest, TokensGoWhereTheirScoresAreHighestAndComeBack) {
  CheckRouting(random_, *device_);
}

// A grid has that many blocks in y and z, and one row a token and expert is soon more.
TEST_F(CudaKernelsTest, MoreRowsThanAGridsSecondAxis) {
  const int64_t tokens = 65536 / 4 + 1, rows = 4 * tokens;
  ExpertRouting routing(random_, tokens, /*num_experts=*/4, /*experts_per_token=*/4, *device_);
  routing.Check(/*renormalized=*/true);
  routing.CheckGatherAndCombine(/*dim=*/1);
  const auto x = random_.Normal(2 * rows), y = random_.Normal(2 * rows);
  const Buffer on_x = Upload(*device_, x), on_y = Upload(*device_, y);
  const TensorView all = View(on_x, rows, 2), other = View(on_y, rows, 2);
  const std::vector<int32_t> ids(rows, 1);
  AddInPlace(all.Columns(0, 1), other.Columns(0, 1), *device_);
  SwiGluInPlace(other.Columns(0, 1), other.Columns(1, 1), *device_);
  const auto sums = Download(*device_, on_x, 2 * rows), gated = Download(*device_, on_y, 2 * rows);
  LookUpRows(View(on_y, 2, 2), ids, all, *device_);
  const auto found = Download(*device_, on_x, 2 * rows);
  for (const int64_t row : {int64_t{0}, rows - 1}) {
    const double gate = y[2 * row], expected = gate / (1 + std::exp(-gate)) * y[2 * row + 1];
    EXPECT_EQ(sums[2 * row], x[2 * row] + y[2 * row]);
    EXPECT_NEAR(gated[2 * row], expected, 1e-6 * (1 + std::abs(expected)));
    EXPECT_EQ(found[2 * row], gated[2]);
    EXPECT_EQ(found[2 * row + 1], gated[3]);
  }
}

TEST_P(CudaProductsTest, EveryRowIsMultipliedByItsExpertsMatrix) {
  CheckExpertProducts(random_, Tolerance(DType::kF16), *device_, TakesInputsApart());
}

TEST_F(CudaKernelsTest, PackingMakesTheLayoutOfTheCpu) {
  LC_ASSERT_OK_AND_ASSIGN(const auto cpu, Device::CreateCpu(1));
  for (int seed = 0; seed < kSeeds; ++seed) {
    const DType dtype = kTypes[seed % 3];
    const Product p = MakeProduct(random_, dtype, *device_);
    LC_ASSERT_OK_AND_ASSIGN(auto matrix,
                            PackedMatrix::Create(p.outputs, p.inputs, dtype, *cpu, "a test"));
    matrix.PackRows(0, p.outputs, p.weights.data(), DType::kF32, *cpu);
    ASSERT_EQ(matrix.bytes(), p.matrix.bytes());
    std::vector<char> bytes(matrix.bytes());
    const int64_t numbers = matrix.bytes() / DTypeBytes(dtype);
    ASSERT_OK(device_->CopyToHost(
        bytes.data(), {const_cast<void*>(p.matrix.panels()), dtype, 1, numbers, numbers},
        matrix.bytes()));
    ASSERT_EQ(std::memcmp(bytes.data(), matrix.panels(), bytes.size()), 0) << random_.seed();
  }
}

}  // namespace
}  // namespace layercake
