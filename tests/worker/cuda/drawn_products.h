#pragma once

// Products drawn at random, for tests that kernels of many rows give the bits of those of few.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/kernel_testing.h"
#include "tests/testing/random_integers.h"
#include "tests/testing/test_card.h"
#include "worker/device/cuda_device.h"
#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/matmul.h"

namespace layercake {

struct Weights {
  PackedMatrix matrix;
  std::vector<float> values;  // [outputs, inputs], by input
  std::string text;
};

inline Weights DrawDense(RandomInput& random, int64_t outputs, int64_t inputs, DType dtype,
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
inline bool IsBounded(int draw) { return draw % 5 != 4; }

// Every other draw is of integers, the others of numbers of one of `types`.
//   ordered: whether integers' inputs may be in any order.
inline Weights Draw(RandomInput& random, int64_t outputs, int64_t inputs, int draw,
                    std::span<const DType> types, bool ordered, Device& device) {
  if (draw % 2 == 0) {
    return DrawDense(random, outputs, inputs, types[draw / 2 % types.size()], device);
  }
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
inline int64_t DrawInputs(RandomInput& random) {
  constexpr int64_t kMost[] = {8, 300, 700, 1700};
  return 1 + random.Below(kMost[random.Below(4)]);
}

class DrawnProducts : public ::testing::Test {
 protected:
  using Product = int (*)(const MatMulArgs&, CUstream_st*);

  // Of a card of at least that compute capability, by one of its kernels.
  DrawnProducts(int capability, Product CudaKernels::*product)
      : device_(TestCard(capability)), product_(GetCudaKernels().*product) {
    ShuffleThreads(random_.Bits());
  }

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

  struct OfExperts {
    Weights weights;
    Buffer x;
    Buffer groups;
    int64_t rows;     // of all experts
    MatMulArgs args;  // but for the rows that one has, roughly
    std::string text;
  };
  // Every other expert has up to `most_rows` rows, the others a few, some none.
  OfExperts DrawExperts(int draw, int64_t inputs, int64_t most_rows, std::span<const DType> types) {
    const int64_t experts = 1 + random_.Below(4), outputs = 1 + random_.Below(140);
    Weights weights = Draw(random_, experts * PaddedOutputs(outputs), inputs, draw, types,
                           /*ordered=*/false, *device_);
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
    Buffer on_x = Upload(*device_, DrawX(rows, inputs, inputs, draw));
    MatMulArgs args = ArgsOf(weights, on_x, inputs, /*rows=*/1, outputs);
    args.groups = reinterpret_cast<const ExpertRows*>(on_groups.As<float>());
    args.num_groups = experts;
    std::string text =
        absl::StrCat(weights.text, ", ", experts, " experts, ", rows, " rows, ", outputs, " x ",
                     inputs, ", draw ", draw, ", seed ", random_.seed());
    return {std::move(weights), std::move(on_x), std::move(on_groups), rows, args, std::move(text)};
  }

  std::vector<float> Multiply(MatMulArgs args, int64_t out_rows, int num_multiprocessors) {
    const Buffer out = Upload(*device_, std::vector<float>(out_rows * args.outputs, -7));
    args.out = out.As<float>();
    args.num_multiprocessors = num_multiprocessors;
    AsCuda(*device_).Record(product_(args, AsCuda(*device_).stream()), "a product");
    std::vector<float> values = Download(*device_, out, out_rows * args.outputs);
    // A card knows one NaN; which it is on the host, of several, is up to its compiler.
    for (float& value : values) value = std::isnan(value) ? NAN : value;
    return values;
  }

  RandomInput random_;
  std::unique_ptr<Device> device_;
  const Product product_;
};

}  // namespace layercake
