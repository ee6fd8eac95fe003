// Products of integers by dot products of bytes, emulated or on a card: near the product in double,
// to what taking inputs apart allows; and the same bits of a row, whichever kernel it went through.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/kernel_testing.h"
#include "tests/testing/random_integers.h"
#include "tests/testing/test_card.h"
#include "worker/device/cuda_device.h"
#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/matmul.h"

namespace layercake {
namespace {

constexpr int kSeeds = 32;
// Of how many multiprocessors a product thinks decides which kernel it goes to.
constexpr int kForManyRows = 0;
constexpr int kForFewRows = 1 << 20;

// Those that suit dot products: every kind of zeros, orders and groups.
std::vector<Quantization> Formats() {
  std::vector<Quantization> formats;
  for (Quantization format : IntegerFormats()) {
    if (format.group_inputs == 16) format.group_inputs = 64;
    formats.push_back(format);
  }
  return formats;
}

// A few, about a run, or several chains of runs; seldom a multiple of anything.
int64_t DrawInputs(RandomInput& random) {
  constexpr int64_t kMost[] = {8, 200, 1100, 2500};
  return 1 + random.Below(kMost[random.Below(4)]);
}

class CudaIntegersTest : public ::testing::Test {
 protected:
  CudaIntegersTest() : device_(TestCard(61)) { ShuffleThreads(random_.Bits()); }
  void SetUp() override {
    if (!AsCuda(*device_).tier().dot_products) GTEST_SKIP() << "the card has no dot products";
  }
  // Whether the op goes to the kernels that are tested here.
  bool IsTheOps() const { return !AsCuda(*device_).tier().tensor_cores; }

  RandomIntegers Draw(int64_t outputs, int64_t inputs, const Quantization& format) {
    return {random_, outputs, inputs, format, random_.Below(2) == 0 ? DType::kF16 : DType::kBF16};
  }
  // [rows, stride]; what is beyond a row's inputs may not be touched. Some rows have outliers, and
  // some are next to nothing.
  std::vector<float> DrawX(int64_t rows, int64_t inputs, int64_t stride) {
    std::vector<float> x = random_.Normal(rows * stride);
    for (int64_t row = 0; row < rows; ++row) {
      const float scale = random_.Below(6) == 0 ? 1e-30f : 1;
      for (int64_t k = 0; k < stride; ++k) {
        float& value = x[row * stride + k];
        value = k >= inputs ? NAN : random_.Below(50) == 0 ? 300 * value : scale * value;
      }
    }
    return x;
  }

  // The kernel itself, on `out_rows` rows: those of `groups`, or of args.
  std::vector<float> Multiply(MatMulArgs args, const TensorView& x, int num_multiprocessors) {
    const Buffer scratch = ProductScratch(*device_, x.rows, x.cols);
    const Buffer out = Upload(*device_, std::vector<float>(x.rows * args.outputs, -7));
    args.out = out.As<float>();
    args.num_multiprocessors = num_multiprocessors;
    args.pieces = InputPieces(scratch.data(), x.rows, x.cols, args.grouped.group_shift);
    CudaDevice& cuda = AsCuda(*device_);
    const FloatRows rows = {static_cast<float*>(x.data), x.rows, x.cols, x.stride};
    cuda.Record(
        GetCudaKernels().take_inputs_apart({rows, args.grouped.order, args.pieces}, cuda.stream()),
        "taking inputs apart");
    cuda.Record(GetCudaKernels().matmul_integers(args, cuda.stream()), "a product");
    return Download(*device_, out, x.rows * args.outputs);
  }
  MatMulArgs ArgsOf(const PackedMatrix& matrix, int64_t rows, int64_t outputs) const {
    return {.rows = rows,
            .weights = matrix.panels(),
            .dtype = matrix.dtype(),
            .grouped = matrix.grouped(),
            .inputs = matrix.inputs(),
            .outputs = outputs,
            .out_stride = outputs};
  }
  // By the op, as the device's tier has it.
  std::vector<float> Product(const TensorView& x, const PackedMatrix& matrix, const float* bias) {
    const Buffer scratch = ProductScratch(*device_, x.rows, x.cols);
    const Buffer out = Upload(*device_, std::vector<float>(x.rows * matrix.outputs()));
    MatMul(x, matrix, bias, F32View(out.As<float>(), x.rows, matrix.outputs()), *device_, scratch);
    return Download(*device_, out, x.rows * matrix.outputs());
  }

  RandomInput random_;
  std::unique_ptr<Device> device_;
};

TEST_F(CudaIntegersTest, AreNearTheProductInDoubleAndTheSameBitsThroughBothKernels) {
  constexpr int64_t kRows[] = {17, 1, 33, 2, 65, 5, 31, 8, 64, 3, 130, 16, 32};
  for (int seed = 0; seed < kSeeds; ++seed) {
    const auto formats = Formats();
    const Quantization& format = formats[seed % std::ssize(formats)];
    const int64_t rows = kRows[seed % std::ssize(kRows)];
    const int64_t outputs = 1 + random_.Below(150), inputs = DrawInputs(random_);
    const int64_t stride = inputs + random_.Below(4);
    SCOPED_TRACE(absl::StrCat(FormatText(format), ", ", rows, " rows, ", outputs, " x ", inputs,
                              ", seed ", random_.seed()));
    const RandomIntegers integers = Draw(outputs, inputs, format);
    const PackedMatrix matrix = integers.Pack(*device_);
    const auto x = DrawX(rows, inputs, stride);
    const auto bias = random_.Normal((outputs + 63) / 64 * 64);
    const Buffer on_x = Upload(*device_, x), on_bias = Upload(*device_, bias);
    const TensorView view = {on_x.data(), DType::kF32, rows, inputs, stride};
    MatMulArgs args = ArgsOf(matrix, rows, outputs);
    const bool biased = seed % 2 == 0;
    if (biased) args.bias = on_bias.As<float>();
    const auto few = Multiply(args, view, kForFewRows);
    ASSERT_TRUE(SameBits(few, Multiply(args, view, kForManyRows)));
    if (IsTheOps()) {
      ASSERT_TRUE(SameBits(few, Product(view, matrix, args.bias)));
    }
    // A row alone.
    const int64_t row = random_.Below(rows);
    const TensorView one = {view.Row(row), DType::kF32, 1, inputs, stride};
    args.rows = 1;
    ASSERT_TRUE(SameBits({few.begin() + row * outputs, few.begin() + (row + 1) * outputs},
                         Multiply(args, one, kForFewRows)));
    std::vector<float> in_order(inputs);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t k = 0; k < inputs; ++k) in_order[k] = x[r * stride + integers.Input(k)];
      const std::vector<double> errors = integers.InputErrors(in_order);
      for (int64_t o = 0; o < outputs; ++o) {
        double sum = biased ? bias[o] : 0, magnitude = std::abs(sum), error = 0;
        for (int64_t k = 0; k < inputs; ++k) {
          const double weight = integers.Weight(o, k);
          sum += in_order[k] * weight;
          magnitude += std::abs(in_order[k] * weight);
          error += std::abs(weight) * errors[k];
        }
        ASSERT_NEAR(few[r * outputs + o], sum, error + 1e-6 * (magnitude + error)) << "row " << r;
      }
    }
  }
}

TEST_F(CudaIntegersTest, OfExpertsWithAnyNumberOfRowsAreThoseOfEachAlone) {
  constexpr int64_t kHints[] = {34, 70, 200};
  for (int seed = 0; seed < kSeeds; ++seed) {
    const auto formats = Formats();
    Quantization format = formats[random_.Below(std::ssize(formats))];
    format.act_order = false;
    const int64_t experts = 1 + random_.Below(4), outputs = 1 + random_.Below(140);
    const int64_t inputs = 1 + random_.Below(500), padded = PaddedOutputs(outputs);
    const PackedMatrix matrix = Draw(experts * padded, inputs, format).Pack(*device_);
    std::vector<ExpertRows> groups;
    int64_t rows = 0;
    for (int64_t expert = 0; expert < experts; ++expert) {
      const int64_t count = 1 + random_.Below(expert % 2 == 0 ? 150 : 8);
      if (expert > 0 && random_.Below(4) == 0) continue;
      groups.push_back({static_cast<int32_t>(expert), static_cast<int32_t>(rows),
                        static_cast<int32_t>(rows + count)});
      rows += count;
    }
    SCOPED_TRACE(absl::StrCat(FormatText(format), ", ", experts, " experts, ", rows, " rows, ",
                              outputs, " x ", inputs, ", seed ", random_.seed()));
    std::vector<ExpertRows> all = groups;
    all.resize(experts);
    std::vector<float> words(3 * experts);
    std::memcpy(words.data(), all.data(), experts * sizeof(ExpertRows));
    const Buffer on_groups = Upload(*device_, words);
    const Buffer on_x = Upload(*device_, DrawX(rows, inputs, inputs));
    const TensorView view = F32View(on_x.As<float>(), rows, inputs);
    MatMulArgs args = ArgsOf(matrix, kHints[seed % std::ssize(kHints)], outputs);
    args.groups = reinterpret_cast<const ExpertRows*>(on_groups.As<float>());
    args.num_groups = experts;
    const auto many = Multiply(args, view, kForManyRows);
    ASSERT_TRUE(SameBits(many, Multiply(args, view, kForFewRows)));
    for (const ExpertRows& group : groups) {
      const int64_t count = group.end - group.begin;
      MatMulArgs alone = ArgsOf(matrix, count, outputs);
      alone.first_panel = group.expert * NumPanels(outputs);
      const TensorView own = F32View(view.Row(group.begin), count, inputs);
      ASSERT_TRUE(
          SameBits({many.begin() + group.begin * outputs, many.begin() + group.end * outputs},
                   Multiply(alone, own, kForFewRows)));
    }
  }
}

TEST_F(CudaIntegersTest, ARowThatIsNotFiniteIsNaNAndNoOtherIs) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (int seed = 0; seed < kSeeds; ++seed) {
    const auto formats = Formats();
    const Quantization& format = formats[random_.Below(std::ssize(formats))];
    const int64_t rows = 2 + random_.Below(40), outputs = 70, inputs = 1 + random_.Below(600);
    SCOPED_TRACE(absl::StrCat(FormatText(format), ", ", rows, " rows, ", inputs, " inputs, seed ",
                              random_.seed()));
    const PackedMatrix matrix = Draw(outputs, inputs, format).Pack(*device_);
    auto x = random_.Normal(rows * inputs);
    const int64_t bad = random_.Below(rows);
    const float values[] = {kInfinity, -kInfinity, NAN, -NAN};
    x[bad * inputs + random_.Below(inputs)] = values[seed % 4];
    const Buffer on_x = Upload(*device_, x);
    const TensorView view = F32View(on_x.As<float>(), rows, inputs);
    for (const int multiprocessors : {kForFewRows, kForManyRows}) {
      const auto out = Multiply(ArgsOf(matrix, rows, outputs), view, multiprocessors);
      for (int64_t i = 0; i < rows * outputs; ++i) {
        ASSERT_EQ(std::isnan(out[i]), i / outputs == bad) << out[i];
        ASSERT_FALSE(std::isinf(out[i]));
      }
    }
  }
}

// The largest sums there can be: of inputs and of weights less zeros that are all at their ends.
TEST_F(CudaIntegersTest, NothingOverflowsAtTheEnds) {
  class Extremes : public QuantizedRows {
   public:
    Extremes(int bits, uint8_t integer, uint8_t zero)
        : most_((1 << bits) - 1), integer_(integer), zero_(zero) {}
    absl::Status Read(int64_t, std::span<uint8_t> integers, std::span<uint16_t> scales,
                      std::span<uint8_t> zeros) const override {
      std::fill(integers.begin(), integers.end(), static_cast<uint8_t>(integer_ * most_));
      std::fill(scales.begin(), scales.end(), uint16_t{0x3c00});  // 1 in f16
      std::fill(zeros.begin(), zeros.end(), static_cast<uint8_t>(zero_ * most_));
      return absl::OkStatus();
    }

   private:
    const int most_, integer_, zero_;
  };
  constexpr int64_t kInputs = 300, kOutputs = 64, kManyRows = 20;
  for (const int bits : {4, 8}) {
    for (const int integer : {0, 1}) {
      const Quantization format = {.bits = bits, .group_inputs = 128, .zeros = true};
      auto matrix =
          PackedMatrix::CreateQuantized(kOutputs, kInputs, format, DType::kF16, *device_, "a test");
      ASSERT_TRUE(matrix.ok());
      const Extremes rows(bits, static_cast<uint8_t>(integer), static_cast<uint8_t>(1 - integer));
      ASSERT_TRUE(matrix->PackQuantized(rows, {}, *device_).ok());
      for (const float x : {1.0f, -1.0f, 3e34f, -3e34f}) {
        const Buffer on_x = Upload(*device_, std::vector<float>(kManyRows * kInputs, x));
        const TensorView view = F32View(on_x.As<float>(), kManyRows, kInputs);
        const double weight = (integer == 1 ? 1 : -1) * ((1 << bits) - 1);
        const double expected = weight * x * kInputs;
        for (const int multiprocessors : {kForFewRows, kForManyRows}) {
          for (const float value :
               Multiply(ArgsOf(*matrix, kManyRows, kOutputs), view, multiprocessors)) {
            if (std::abs(expected) > std::numeric_limits<float>::max()) {
              ASSERT_TRUE(std::isinf(value)) << value;
            } else {
              ASSERT_NEAR(value / expected, 1, 1e-6) << bits << " bits of " << x;
            }
          }
        }
      }
    }
  }
}

// An input next to a far larger one is lost where they share a scale.
TEST_F(CudaIntegersTest, GroupsTooSmallForDotProductsAreMultipliedAsTheyAre) {
  if (!IsTheOps()) GTEST_SKIP() << "the card has tensor cores";
  const Quantization format = {.bits = 8, .group_inputs = 16, .zeros = true};
  const RandomIntegers integers = Draw(64, 96, format);
  const PackedMatrix matrix = integers.Pack(*device_);
  std::vector<float> x(96);
  x[0] = 1e6f;
  x[1] = 1;
  const Buffer on_x = Upload(*device_, x);
  const auto out = Product(F32View(on_x.As<float>(), 1, 96), matrix, nullptr);
  for (int64_t o = 0; o < 64; ++o) {
    const double first = x[0] * double{integers.Weight(o, 0)}, second = integers.Weight(o, 1);
    ASSERT_NEAR(out[o], first + second, 2e-7 * (std::abs(first) + std::abs(second)));
  }
}

}  // namespace
}  // namespace layercake
