// The plain product of many rows, emulated or on a card: bit for bit that of few, whose kernel is
// another; and near the product in double.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <span>
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

constexpr int kSeeds = 20;
constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
// Of how many multiprocessors a product thinks decides which kernel it goes to.
constexpr int kForManyRows = 0;
constexpr int kForFewRows = 1 << 20;

struct Weights {
  PackedMatrix matrix;
  std::vector<float> values;  // [outputs, inputs], by input
  std::string text;
};

Weights DrawDense(RandomInput& random, int64_t outputs, int64_t inputs, DType dtype,
                  Device& device) {
  auto matrix = PackedMatrix::Create(outputs, inputs, dtype, device, "a test");
  CHECK(matrix.ok()) << matrix.status();
  Weights weights = {*std::move(matrix), random.Normal(outputs * inputs, dtype),
                     std::string(DTypeName(dtype))};
  weights.matrix.PackRows(0, outputs, weights.values.data(), DType::kF32, device);
  return weights;
}

// Some outputs' last scales are infinite.
class UnboundedIntegers : public RandomIntegers {
 public:
  UnboundedIntegers(RandomInput& random, int64_t outputs, int64_t inputs,
                    const Quantization& format, DType scale_dtype)
      : RandomIntegers(random, outputs, inputs, format, scale_dtype),
        infinity_(scale_dtype == DType::kF16 ? 0x7c00 : 0x7f80) {}

  absl::Status Read(int64_t output, std::span<uint8_t> integers, std::span<uint16_t> scales,
                    std::span<uint8_t> zeros) const override {
    const absl::Status read = RandomIntegers::Read(output, integers, scales, zeros);
    if (output % 3 == 0) scales.back() = infinity_;
    return read;
  }

 private:
  const uint16_t infinity_;
};

template <typename Integers>
Weights DrawIntegers(RandomInput& random, int64_t outputs, int64_t inputs,
                     const Quantization& format, Device& device) {
  const Integers integers(random, outputs, inputs, format,
                          random.Below(2) == 0 ? DType::kF16 : DType::kBF16);
  Weights weights = {integers.Pack(device), std::vector<float>(outputs * inputs),
                     FormatText(format)};
  for (int64_t i = 0; i < outputs * inputs; ++i) {
    const int64_t output = i / inputs;
    weights.values[output * inputs + integers.Input(i % inputs)] =
        integers.Weight(output, i % inputs);
  }
  return weights;
}

// Some draws are not all of finite numbers.
bool IsBounded(int draw) { return draw % 5 != 4; }

// Every other draw is of integers.
Weights Draw(RandomInput& random, int64_t outputs, int64_t inputs, int draw, bool ordered,
             Device& device) {
  if (draw % 2 == 0) return DrawDense(random, outputs, inputs, kTypes[draw / 2 % 3], device);
  std::vector<Quantization> formats;
  for (const Quantization& format : IntegerFormats()) {
    if (format.bits == (draw / 2 % 2 == 0 ? 4 : 8) && (ordered || !format.act_order)) {
      formats.push_back(format);
    }
  }
  const Quantization& format = formats[random.Below(std::ssize(formats))];
  return (IsBounded(draw)
              ? DrawIntegers<RandomIntegers>
              : DrawIntegers<UnboundedIntegers>)(random, outputs, inputs, format, device);
}

// A few, less than a run of all chains, or several of them; seldom a multiple of anything.
int64_t DrawInputs(RandomInput& random) {
  constexpr int64_t kMost[] = {8, 300, 700, 1700};
  return 1 + random.Below(kMost[random.Below(4)]);
}

class CudaManyRowsTest : public ::testing::Test {
 protected:
  CudaManyRowsTest() : device_(TestCard(61)) { ShuffleThreads(random_.Bits()); }

  // [rows, stride] of f32; what is beyond a row's inputs may not be touched.
  std::vector<float> DrawX(int64_t rows, int64_t inputs, int64_t stride, int draw) {
    std::vector<float> x = random_.Normal(rows * stride);
    // So small that products are zeros of both signs, and denormal.
    const float scale = draw % 5 == 3 ? 1e-44f : 1;
    for (int64_t i = 0; i < rows * stride; ++i) {
      if (random_.Below(4) == 0) x[i] = 0;
      x[i] = i % stride < inputs ? x[i] * scale : NAN;
    }
    if (!IsBounded(draw)) {
      for (int i = 0; i < 3; ++i) {
        x[random_.Below(rows) * stride + random_.Below(inputs)] =
            i == 2 ? NAN : std::numeric_limits<float>::infinity();
      }
    }
    return x;
  }

  MatMulArgs ArgsOf(const Weights& weights, const Buffer& x, int64_t stride, int64_t rows,
                    int64_t outputs) const {
    return {.x = x.As<float>(),
            .x_stride = stride,
            .rows = rows,
            .weights = weights.matrix.panels(),
            .dtype = weights.matrix.dtype(),
            .grouped = weights.matrix.grouped(),
            .inputs = weights.matrix.inputs(),
            .outputs = outputs,
            .out_stride = outputs};
  }
  std::vector<float> Multiply(MatMulArgs args, int64_t out_rows, int num_multiprocessors) {
    const Buffer out = Upload(*device_, std::vector<float>(out_rows * args.outputs, -7));
    args.out = out.As<float>();
    args.num_multiprocessors = num_multiprocessors;
    AsCuda(*device_).Record(GetCudaKernels().matmul(args, AsCuda(*device_).stream()), "a product");
    std::vector<float> values = Download(*device_, out, out_rows * args.outputs);
    // A card knows one NaN; which it is on the host, of several, is up to its compiler.
    for (float& value : values) value = std::isnan(value) ? NAN : value;
    return values;
  }

  RandomInput random_;
  std::unique_ptr<Device> device_;
};

TEST_F(CudaManyRowsTest, EqualFewRowsBitForBitAndAreNearTheProductInDouble) {
  constexpr int64_t kRows[] = {17, 31, 32, 33, 63, 64, 65, 96, 97, 127, 128, 129, 130};
  for (int seed = 0; seed < 2 * kSeeds; ++seed) {
    const int64_t rows = kRows[seed % std::ssize(kRows)];
    const int64_t outputs = 1 + random_.Below(150), inputs = DrawInputs(random_);
    const int64_t stride = seed % 3 == 0 ? (inputs + 3) / 4 * 4 : inputs + random_.Below(4);
    const Weights weights = Draw(random_, outputs, inputs, seed, /*ordered=*/true, *device_);
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
    const int64_t experts = 1 + random_.Below(4), outputs = 1 + random_.Below(140);
    const int64_t inputs = DrawInputs(random_);
    const Weights weights =
        Draw(random_, experts * PaddedOutputs(outputs), inputs, seed, /*ordered=*/false, *device_);
    std::vector<ExpertRows> groups;
    int64_t rows = 0;
    for (int64_t expert = 0; expert < experts; ++expert) {
      const int64_t count = 1 + random_.Below(expert % 2 == 0 ? 150 : 8);
      if (random_.Below(4) == 0) continue;
      groups.push_back({static_cast<int32_t>(expert), static_cast<int32_t>(rows),
                        static_cast<int32_t>(rows + count)});
      rows += count;
    }
    if (rows == 0) continue;
    groups.resize(experts);
    SCOPED_TRACE(absl::StrCat(weights.text, ", ", experts, " experts, ", rows, " rows, ", outputs,
                              " x ", inputs, ", draw ", seed, ", seed ", random_.seed()));
    std::vector<float> group_words(3 * experts);
    std::memcpy(group_words.data(), groups.data(), experts * sizeof(ExpertRows));
    const Buffer on_groups = Upload(*device_, group_words);
    const Buffer on_x = Upload(*device_, DrawX(rows, inputs, inputs, seed));
    MatMulArgs args = ArgsOf(weights, on_x, inputs, kHints[seed % std::ssize(kHints)], outputs);
    args.groups = reinterpret_cast<const ExpertRows*>(on_groups.As<float>());
    args.num_groups = experts;
    ASSERT_TRUE(SameBits(Multiply(args, rows, kForManyRows), Multiply(args, rows, kForFewRows)));
  }
}

}  // namespace
}  // namespace layercake
