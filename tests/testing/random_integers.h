#pragma once

// Random quantized matrices and the numbers they stand for.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/model/config.h"
#include "tests/testing/kernel_testing.h"
#include "worker/kernels/packed_matrix.h"

namespace layercake {

class RandomIntegers : public QuantizedRows {
 public:
  RandomIntegers(RandomInput& random, int64_t outputs, int64_t inputs, const Quantization& format,
                 DType scale_dtype)
      : outputs_(outputs),
        inputs_(inputs),
        groups_(format.group_inputs == 0
                    ? 1
                    : (inputs + format.group_inputs - 1) / format.group_inputs),
        format_(format),
        scale_dtype_(scale_dtype) {
    const int64_t values = int64_t{1} << format.bits;
    for (int64_t i = 0; i < outputs * inputs; ++i) {
      integers_.push_back(static_cast<uint8_t>(random.Below(values)));
    }
    scale_values_ = random.Normal(outputs * groups_, scale_dtype);
    scales_.resize(scale_values_.size());
    ConvertNumbers(scale_values_.data(), DType::kF32, outputs * groups_, scales_.data(),
                   scale_dtype);
    for (int64_t i = 0; i < outputs * groups_; ++i) {
      zeros_.push_back(static_cast<uint8_t>(format.zeros ? random.Below(values) : values / 2));
    }
    if (!format.act_order) return;
    order_.resize(inputs);
    std::iota(order_.begin(), order_.end(), 0);
    for (int64_t i = inputs - 1; i > 0; --i) std::swap(order_[i], order_[random.Below(i + 1)]);
  }

  absl::Status Read(int64_t output, std::span<uint8_t> integers, std::span<uint16_t> scales,
                    std::span<uint8_t> zeros) const override {
    std::copy_n(integers_.begin() + output * inputs_, inputs_, integers.begin());
    std::copy_n(scales_.begin() + output * groups_, groups_, scales.begin());
    if (!zeros.empty()) std::copy_n(zeros_.begin() + output * groups_, groups_, zeros.begin());
    return absl::OkStatus();
  }

  PackedMatrix Pack(Device& device) const {
    auto matrix =
        PackedMatrix::CreateQuantized(outputs_, inputs_, format_, scale_dtype_, device, "a test");
    CHECK(matrix.ok()) << matrix.status();
    const absl::Status packed = matrix->PackQuantized(*this, order_, device);
    CHECK(packed.ok()) << packed;
    return *std::move(matrix);
  }

  // Of the k-th place in the matrix's order, which is that of this input.
  float Weight(int64_t output, int64_t k) const {
    const int64_t group = format_.group_inputs == 0 ? 0 : k / format_.group_inputs;
    const int difference = integers_[output * inputs_ + k] - zeros_[output * groups_ + group];
    return scale_values_[output * groups_ + group] * static_cast<float>(difference);
  }
  // What each of x, in the matrix's order, is off by at most where products take it apart: half a
  // step of 1 / 32639 of the largest of its run, or of 2^-100, and what f32 rounds on the way.
  std::vector<double> InputErrors(const std::vector<float>& x) const {
    const int64_t group = format_.group_inputs;
    const int64_t run = group == 0 || group > 128 ? 128 : group;
    std::vector<double> errors(inputs_, 0);
    for (int64_t first = 0; run >= kStepInputs && first < inputs_; first += run) {
      const int64_t end = std::min(first + run, inputs_);
      double largest = 0x1p-100;
      for (int64_t k = first; k < end; ++k) largest = std::max(largest, std::abs(double{x[k]}));
      std::fill(errors.begin() + first, errors.begin() + end, 0.51 / 32639 * largest);
    }
    return errors;
  }
  int64_t Input(int64_t k) const { return order_.empty() ? k : order_[k]; }

 private:
  const int64_t outputs_, inputs_, groups_;
  const Quantization format_;
  const DType scale_dtype_;
  std::vector<uint8_t> integers_, zeros_;
  std::vector<float> scale_values_;
  std::vector<uint16_t> scales_;
  std::vector<int32_t> order_;
};

inline Buffer ProductScratch(Device& device, int64_t rows, int64_t inputs) {
  auto scratch = device.Allocate(InputPiecesBytes(rows, inputs), "a test");
  CHECK(scratch.ok()) << scratch.status();
  return *std::move(scratch);
}

// Every kind of integers that matrices hold.
inline std::vector<Quantization> IntegerFormats() {
  std::vector<Quantization> formats;
  for (const int64_t bits : {4, 8}) {
    for (const int64_t group_inputs : {0, 16, 32, 128}) {
      for (const bool zeros : {false, true}) {
        for (const bool act_order : {false, true}) {
          formats.push_back(
              {.bits = bits, .group_inputs = group_inputs, .zeros = zeros, .act_order = act_order});
        }
      }
    }
  }
  return formats;
}

inline std::string FormatText(const Quantization& format) {
  return absl::StrCat(format.bits, " bits, groups of ", format.group_inputs,
                      format.zeros ? ", zeros" : "", format.act_order ? ", ordered" : "");
}

}  // namespace layercake
