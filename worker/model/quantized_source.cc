#include "worker/model/quantized_source.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/model/quantized_tensors.h"
#include "worker/kernels/convert.h"

namespace layercake {
namespace {

constexpr uint16_t kLargestHalf = 0x7bff;
constexpr uint16_t kInfiniteHalf = 0x7c00;

uint32_t WordAt(absl::string_view data, int64_t index) {
  uint32_t word;
  std::memcpy(&word, data.data() + index * static_cast<int64_t>(sizeof(word)), sizeof(word));
  return word;
}

class Rounded : public QuantizedRows {
 public:
  Rounded(std::string name, const TensorEntry& tensor, const Quantization& format)
      : name_(std::move(name)),
        tensor_(tensor),
        inputs_(tensor.shape[1]),
        bits_(format.bits),
        group_inputs_(format.group_inputs) {}

  absl::Status Read(int64_t output, std::span<uint8_t> integers, std::span<uint16_t> scales,
                    std::span<uint8_t> zeros) const override {
    std::vector<float> row(inputs_);
    ConvertNumbers(tensor_.data.data() + output * inputs_ * DTypeBytes(tensor_.dtype),
                   tensor_.dtype, inputs_, row.data(), DType::kF32);
    if (!std::all_of(row.begin(), row.end(), [](float w) { return std::isfinite(w); })) {
      return absl::DataLossError(
          absl::StrCat("tensor ", name_, " holds a number in row ", output,
                       " that is not finite, for which no integer can stand; load without "
                       "--weights, or another copy of the checkpoint"));
    }
    for (size_t group = 0; group < scales.size(); ++group) {
      const int64_t first = static_cast<int64_t>(group) * group_inputs_;
      const int64_t count = std::min(group_inputs_, inputs_ - first);
      const std::span<const float> from(row.data() + first, count);
      const std::span<uint8_t> to = integers.subspan(first, count);
      if (bits_ == 8) {
        scales[group] = RoundSymmetric(from, to);
      } else {
        scales[group] = RoundFromZero(from, to, zeros[group]);
      }
    }
    return absl::OkStatus();
  }

 private:
  // The nearest f16, not infinite; and as the f32 that weights are divided by.
  static std::pair<uint16_t, float> HalfScale(float scale) {
    uint16_t bits;
    ConvertNumbers(&scale, DType::kF32, 1, &bits, DType::kF16);
    if (bits >= kInfiniteHalf) bits = kLargestHalf;
    float rounded;
    ConvertNumbers(&bits, DType::kF16, 1, &rounded, DType::kF32);
    return {bits, rounded};
  }

  static uint16_t RoundSymmetric(std::span<const float> row, std::span<uint8_t> integers) {
    constexpr float kMost = 127;
    constexpr int kZero = 128;
    float largest = 0;
    for (const float w : row) largest = std::max(largest, std::fabs(w));
    const auto [bits, scale] = HalfScale(largest / kMost);
    for (size_t k = 0; k < row.size(); ++k) {
      const float q = scale == 0 ? 0 : std::clamp(std::nearbyint(row[k] / scale), -kMost, kMost);
      integers[k] = static_cast<uint8_t>(static_cast<int>(q) + kZero);
    }
    return bits;
  }

  static uint16_t RoundFromZero(std::span<const float> row, std::span<uint8_t> integers,
                                uint8_t& zero) {
    constexpr float kMost = 15;
    float least = 0, largest = 0;
    for (const float w : row) {
      least = std::min(least, w);
      largest = std::max(largest, w);
    }
    const auto [bits, scale] = HalfScale((largest - least) / kMost);
    const float zero_point =
        scale == 0 ? 0 : std::clamp(std::nearbyint(-least / scale), 0.0f, kMost);
    zero = static_cast<uint8_t>(zero_point);
    for (size_t k = 0; k < row.size(); ++k) {
      const float q = scale == 0 ? zero_point : std::nearbyint(row[k] / scale) + zero_point;
      integers[k] = static_cast<uint8_t>(std::clamp(q, 0.0f, kMost));
    }
    return bits;
  }

  const std::string name_;
  const TensorEntry tensor_;
  const int64_t inputs_;
  const int64_t bits_;
  const int64_t group_inputs_;
};

// Integers along one axis: the i-th is in word (i >> per_word_shift) * stride + base, from bit
// (i & mask) * bits + bit on.
struct Walk {
  int per_word_shift = 0;
  int64_t stride = 0;
  int64_t base = 0;
  int bit = 0;

  uint8_t At(absl::string_view data, int64_t i, int bits) const {
    const int64_t within = i & ((int64_t{1} << per_word_shift) - 1);
    const uint32_t word = WordAt(data, (i >> per_word_shift) * stride + base);
    return static_cast<uint8_t>(word >> (bit + within * bits) & ((1u << bits) - 1));
  }
};

class Stored : public QuantizedRows {
 public:
  Stored(const QuantizedTensors& tensors, const Quantization& format, int64_t outputs,
         int64_t inputs, std::vector<int32_t> order)
      : tensors_(tensors),
        layout_(format.method == "gptq"  ? Layout::kGptq
                : format.method == "awq" ? Layout::kAwq
                                         : Layout::kPacked),
        bits_(static_cast<int>(format.bits)),
        zeros_less_one_(format.method == "gptq" && format.layout != "gptq_v2"),
        outputs_(outputs),
        inputs_(inputs),
        order_(std::move(order)) {}

  absl::Status Read(int64_t output, std::span<uint8_t> integers, std::span<uint16_t> scales,
                    std::span<uint8_t> zeros) const override {
    const int64_t per_word = 32 / bits_;
    const int per_word_shift = std::countr_zero(static_cast<uint64_t>(per_word));
    const auto groups = static_cast<int64_t>(scales.size());
    const int64_t words = outputs_ / per_word;
    const bool packed = layout_ == Layout::kPacked;

    Walk along = {per_word_shift, outputs_, output, 0};
    if (layout_ == Layout::kAwq) along = {0, words, output / per_word, BitOf(output)};
    if (packed) along = {per_word_shift, 1, output * inputs_ / per_word, 0};
    for (int64_t i = 0; i < inputs_; ++i) {
      const int64_t input = order_.empty() ? i : order_[i];
      integers[i] = along.At(tensors_.weights, input, bits_);
    }
    const Walk over_groups = packed ? Walk{0, 1, output / per_word * groups, BitOf(output)}
                                    : Walk{0, words, output / per_word, BitOf(output)};
    for (int64_t group = 0; group < groups; ++group) {
      const int64_t at = packed ? output * groups + group : group * outputs_ + output;
      std::memcpy(&scales[group], tensors_.scales.data.data() + at * 2, sizeof(uint16_t));
      if (zeros.empty()) continue;
      const int zero = over_groups.At(tensors_.zeros, group, bits_) + (zeros_less_one_ ? 1 : 0);
      zeros[group] = static_cast<uint8_t>(zero & ((1 << bits_) - 1));
    }
    return absl::OkStatus();
  }

 private:
  enum class Layout { kGptq, kAwq, kPacked };

  // Where in its word an output is that shares it with its neighbours.
  int BitOf(int64_t output) const {
    constexpr int kAwqPlaces[] = {0, 4, 1, 5, 2, 6, 3, 7};
    const int64_t place = output % (32 / bits_);
    return bits_ * (layout_ == Layout::kAwq ? kAwqPlaces[place] : static_cast<int>(place));
  }

  const QuantizedTensors tensors_;
  const Layout layout_;
  const int bits_;
  const bool zeros_less_one_;
  const int64_t outputs_;
  const int64_t inputs_;
  const std::vector<int32_t> order_;
};

class Fused : public QuantizedRows {
 public:
  explicit Fused(std::vector<FusedPart> parts) : parts_(std::move(parts)) {}

  absl::Status Read(int64_t output, std::span<uint8_t> integers, std::span<uint16_t> scales,
                    std::span<uint8_t> zeros) const override {
    const auto after = std::ranges::upper_bound(parts_, output, {}, &FusedPart::begin);
    if (after != parts_.begin()) {
      const FusedPart& part = *std::prev(after);
      const int64_t row = output - part.begin;
      if (row < part.count) return part.rows->Read(row, integers, scales, zeros);
    }
    std::ranges::fill(integers, uint8_t{0});
    std::ranges::fill(scales, uint16_t{0});
    std::ranges::fill(zeros, uint8_t{0});
    return absl::OkStatus();
  }

 private:
  const std::vector<FusedPart> parts_;
};

// Inputs in the order of their groups. `groups`: i32 per input.
absl::StatusOr<std::vector<int32_t>> OrderByGroup(absl::string_view groups, int64_t inputs,
                                                  int64_t group_inputs) {
  const int64_t size = group_inputs == 0 ? inputs : group_inputs;
  std::vector<int32_t> order(inputs);
  std::iota(order.begin(), order.end(), 0);
  const auto group_of = [&](int32_t input) {
    return std::bit_cast<int32_t>(WordAt(groups, input));
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return group_of(a) < group_of(b); });
  for (int64_t i = 0; i < inputs; ++i) {
    if (group_of(order[i]) == i / size) continue;
    return absl::DataLossError(absl::StrCat("input ", order[i], " is said to be of group ",
                                            group_of(order[i]), ", but groups of ", size,
                                            " inputs would need one of group ", i / size));
  }
  return order;
}

// A format without zeros has them all in the middle; where they are stored nevertheless, they must
// be.
absl::Status CheckSymmetric(const Checkpoint& checkpoint, const std::string& module,
                            int64_t outputs, int64_t inputs) {
  const Quantization& format = *checkpoint.config().quantization;
  if (format.zeros || format.method == "compressed-tensors") return absl::OkStatus();
  const int64_t groups =
      format.group_inputs == 0 ? 1 : (inputs + format.group_inputs - 1) / format.group_inputs;
  const std::string name = module + ".qzeros";
  LC_ASSIGN_OR_RETURN(const absl::string_view zeros,
                      checkpoint.Integers(name, {groups, outputs * format.bits / 32}));
  const uint32_t middle = format.bits == 4 ? 0x88888888 : 0x80808080;
  const uint32_t one = format.bits == 4 ? 0x11111111 : 0x01010101;
  const bool less_one = format.method == "gptq" && format.layout != "gptq_v2";
  for (int64_t i = 0; i < static_cast<int64_t>(zeros.size() / sizeof(uint32_t)); ++i) {
    if (WordAt(zeros, i) == (less_one ? middle - one : middle)) continue;
    return absl::DataLossError(absl::StrCat(checkpoint.directory(),
                                            ": quantization_config says that weights are "
                                            "symmetric, but ",
                                            name, " has other zeros than 2^", format.bits - 1));
  }
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<QuantizedRows> RoundedRows(const std::string& name, const TensorEntry& tensor,
                                           const Quantization& format) {
  CHECK_EQ(tensor.shape.size(), 2u);
  CHECK_GT(format.group_inputs, 0);
  return std::make_unique<Rounded>(name, tensor, format);
}

absl::StatusOr<StoredMatrix> ReadStoredMatrix(const Checkpoint& checkpoint,
                                              const std::string& module, int64_t outputs,
                                              int64_t inputs) {
  const Quantization& format = *checkpoint.config().quantization;
  LC_ASSIGN_OR_RETURN(const QuantizedTensors tensors,
                      FindQuantizedTensors(checkpoint, module, outputs, inputs));
  LC_RETURN_IF_ERROR(CheckSymmetric(checkpoint, module, outputs, inputs));
  StoredMatrix matrix = {
      .scale_dtype = tensors.scales.dtype,
      .data = {tensors.weights, tensors.zeros, tensors.scales.data, tensors.order}};
  if (format.act_order) {
    auto order = OrderByGroup(tensors.order, inputs, format.group_inputs);
    if (!order.ok()) {
      return absl::DataLossError(
          absl::StrCat(checkpoint.directory(), ": ", module, ": ", order.status().message()));
    }
    matrix.order = *std::move(order);
  }
  matrix.rows = std::make_unique<Stored>(tensors, format, outputs, inputs, matrix.order);
  return matrix;
}

std::unique_ptr<QuantizedRows> FusedRows(std::vector<FusedPart> parts) {
  return std::make_unique<Fused>(std::move(parts));
}

}  // namespace layercake
