#include "tests/worker/cuda/drawn_products.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/testing/random_integers.h"
#include "tests/testing/test_card.h"
#include "worker/device/cuda_device.h"
#include "worker/kernels/matmul.h"

namespace layercake {
namespace {

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

MatMulArgs ArgsOf(const PackedMatrix& weights, const Buffer& x, int64_t stride, int64_t rows,
                  int64_t outputs) {
  return {.x = x.As<float>(),
          .x_stride = stride,
          .rows = rows,
          .weights = weights.panels(),
          .dtype = weights.dtype(),
          .grouped = weights.grouped(),
          .inputs = weights.inputs(),
          .outputs = outputs,
          .out_stride = outputs};
}

}  // namespace

DrawnProducts::DrawnProducts(int capability, Product CudaKernels::*product,
                             std::span<const DType> types)
    : device_(TestCard(capability)), product_(GetCudaKernels().*product), types_(types) {
  ShuffleThreads(random_.Bits());
}

int64_t DrawnProducts::DrawInputs() {
  constexpr int64_t kMost[] = {8, 300, 700, 1700};
  return 1 + random_.Below(kMost[random_.Below(4)]);
}

DrawnProducts::Weights DrawnProducts::DrawDense(int64_t outputs, int64_t inputs, DType dtype) {
  auto matrix = PackedMatrix::Create(outputs, inputs, dtype, *device_, "a test");
  CHECK(matrix.ok()) << matrix.status();
  Weights weights = {*std::move(matrix), random_.Normal(outputs * inputs, dtype),
                     std::string(DTypeName(dtype))};
  weights.matrix.PackRows(0, outputs, weights.values.data(), DType::kF32, *device_);
  return weights;
}

template <typename Integers>
DrawnProducts::Weights DrawnProducts::DrawIntegers(int64_t outputs, int64_t inputs,
                                                   const Quantization& format) {
  const Integers integers(random_, outputs, inputs, format,
                          random_.Below(2) == 0 ? DType::kF16 : DType::kBF16);
  Weights weights = {integers.Pack(*device_), std::vector<float>(outputs * inputs),
                     FormatText(format)};
  for (int64_t i = 0; i < outputs * inputs; ++i) {
    const int64_t output = i / inputs;
    weights.values[output * inputs + integers.Input(i % inputs)] =
        integers.Weight(output, i % inputs);
  }
  return weights;
}

DrawnProducts::Weights DrawnProducts::DrawWeights(int64_t outputs, int64_t inputs, int draw,
                                                  bool ordered) {
  if (draw % 2 == 0) return DrawDense(outputs, inputs, types_[draw / 2 % types_.size()]);
  std::vector<Quantization> formats;
  for (const Quantization& format : IntegerFormats()) {
    if (format.bits == (draw / 2 % 2 == 0 ? 4 : 8) && (ordered || !format.act_order)) {
      formats.push_back(format);
    }
  }
  const Quantization& format = formats[random_.Below(std::ssize(formats))];
  if (IsBounded(draw)) return DrawIntegers<RandomIntegers>(outputs, inputs, format);
  return DrawIntegers<UnboundedIntegers>(outputs, inputs, format);
}

// What is beyond a row's inputs may not be touched.
std::vector<float> DrawnProducts::DrawX(const Size& size, int draw) {
  std::vector<float> x = random_.Normal(size.rows * size.stride);
  // So small that products are zeros of both signs, and denormal.
  const float scale = draw % 5 == 3 ? 1e-44f : 1;
  for (int64_t i = 0; i < size.rows * size.stride; ++i) {
    if (random_.Below(4) == 0) x[i] = 0;
    x[i] = i % size.stride < size.inputs ? x[i] * scale : NAN;
  }
  if (!IsBounded(draw)) {
    for (int i = 0; i < 3; ++i) {
      x[random_.Below(size.rows) * size.stride + random_.Below(size.inputs)] =
          i == 2 ? NAN : std::numeric_limits<float>::infinity();
    }
  }
  return x;
}

DrawnProducts::OfOne DrawnProducts::Draw(int draw, const Size& size) {
  OfOne product = {.size = size,
                   .weights = DrawWeights(size.outputs, size.inputs, draw, /*ordered=*/true),
                   .x = DrawX(size, draw)};
  product.on_x = Upload(*device_, product.x);
  product.args = ArgsOf(product.weights.matrix, product.on_x, size.stride, size.rows, size.outputs);
  if (draw % 4 < 2) {
    product.bias = random_.Normal(PaddedOutputs(size.outputs));
    product.on_bias = Upload(*device_, product.bias);
    product.args.bias = product.on_bias.As<float>();
  }
  product.text = absl::StrCat(product.weights.text, ", ", size.rows, " rows, ", size.outputs, " x ",
                              size.inputs, ", draw ", draw, ", seed ", random_.seed());
  return product;
}

DrawnProducts::OfExperts DrawnProducts::DrawExperts(int draw, int64_t inputs, int64_t most_rows) {
  const int64_t experts = 1 + random_.Below(4), outputs = 1 + random_.Below(140);
  Weights weights = DrawWeights(experts * PaddedOutputs(outputs), inputs, draw, /*ordered=*/false);
  std::vector<ExpertRows> groups;
  int64_t rows = 0;
  for (int64_t expert = 0; expert < experts; ++expert) {
    const int64_t count = 1 + random_.Below(expert % 2 == 0 ? most_rows : 8);
    if (expert > 0 && random_.Below(4) == 0) continue;
    groups.push_back({static_cast<int32_t>(expert), static_cast<int32_t>(rows),
                      static_cast<int32_t>(rows + count)});
    rows += count;
  }
  groups.resize(experts);
  std::vector<float> group_words(3 * experts);
  std::memcpy(group_words.data(), groups.data(), experts * sizeof(ExpertRows));
  Buffer on_groups = Upload(*device_, group_words);
  Buffer on_x = Upload(*device_, DrawX({rows, outputs, inputs, inputs}, draw));
  MatMulArgs args = ArgsOf(weights.matrix, on_x, inputs, /*rows=*/1, outputs);
  args.groups = reinterpret_cast<const ExpertRows*>(on_groups.As<float>());
  args.num_groups = experts;
  std::string text =
      absl::StrCat(weights.text, ", ", experts, " experts, ", rows, " rows, ", outputs, " x ",
                   inputs, ", draw ", draw, ", seed ", random_.seed());
  return {std::move(weights), std::move(on_x), std::move(on_groups), rows, args, std::move(text)};
}

std::vector<float> DrawnProducts::Multiply(MatMulArgs args, int64_t out_rows,
                                           int num_multiprocessors) {
  const Buffer out = Upload(*device_, std::vector<float>(out_rows * args.outputs, -7));
  args.out = out.As<float>();
  args.num_multiprocessors = num_multiprocessors;
  AsCuda(*device_).Record(product_(args, AsCuda(*device_).stream()), "a product");
  std::vector<float> values = Download(*device_, out, out_rows * args.outputs);
  // A card knows one NaN; which it is on the host, of several, is up to its compiler.
  for (float& value : values) value = std::isnan(value) ? NAN : value;
  return values;
}

void DrawnProducts::ExpectElement(const OfOne& product, int64_t row, int64_t output, float value,
                                  double tolerance, double least) {
  const Size& size = product.size;
  double sum = product.bias.empty() ? 0 : product.bias[output], magnitude = least;
  for (int64_t k = 0; k < size.inputs; ++k) {
    const double term =
        double{product.x[row * size.stride + k]} * product.weights.values[output * size.inputs + k];
    sum += term;
    magnitude += std::abs(term);
  }
  EXPECT_NEAR(value, sum, tolerance * (magnitude + std::abs(sum)));
}

}  // namespace layercake
