// Integers into panels. The host packs them, for every kind of device.

#include <algorithm>
#include <bit>
#include <vector>

#include "common/base/logging.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "worker/kernels/packed_matrix.h"

namespace layercake {
namespace {

constexpr int64_t kHalfPanel = kPanelOutputs / 2;
// One group for all inputs: none has more than 2^kWholeRowShift.
constexpr int kWholeRowShift = 40;
// Panels under way take no more than so much of the host's memory.
constexpr int64_t kStagedBytes = 64 << 20;

// Puts integers `column` of `rows` rows into [row][kPanelOutputs] of `bits` each.
void SetColumn(std::span<const uint8_t> integers, int64_t column, int64_t bits, uint8_t* rows) {
  const int64_t row_bytes = kPanelOutputs * bits / 8;
  const int64_t byte = bits == 8 ? column : column % kHalfPanel;
  const int shift = bits == 4 && column >= kHalfPanel ? 4 : 0;
  for (size_t k = 0; k < integers.size(); ++k) {
    rows[static_cast<int64_t>(k) * row_bytes + byte] |= static_cast<uint8_t>(integers[k] << shift);
  }
}

absl::Status Upload(const void* from, int64_t bytes, void* to, Device& device) {
  constexpr int64_t kUnit = 32;
  CHECK_EQ(bytes % kUnit, 0);
  constexpr int64_t kFloats = kUnit / static_cast<int64_t>(sizeof(float));
  return device.CopyFromHost(F32View(static_cast<float*>(to), bytes / kUnit, kFloats), from, bytes);
}

// Some panels on their way to the device.
struct Staged {
  std::vector<uint8_t> rows, zeros;
  std::vector<uint16_t> scales;
};

}  // namespace

absl::StatusOr<PackedMatrix> PackedMatrix::CreateQuantized(int64_t outputs, int64_t inputs,
                                                           const Quantization& format,
                                                           DType scale_dtype, Device& device,
                                                           absl::string_view purpose) {
  const auto group_inputs = static_cast<uint64_t>(format.group_inputs);
  CHECK((format.bits == 4 || format.bits == 8) && format.group_outputs == 1);
  CHECK(group_inputs == 0 || std::has_single_bit(group_inputs)) << group_inputs;
  CHECK(scale_dtype != DType::kF32);
  PackedMatrix matrix;
  matrix.outputs_ = outputs;
  matrix.inputs_ = inputs;
  matrix.dtype_ = scale_dtype;
  const int64_t padded = matrix.num_panels() * kPanelOutputs;
  GroupedWeights& grouped = matrix.grouped_;
  grouped.bits = static_cast<int>(format.bits);
  grouped.group_shift = group_inputs == 0 ? kWholeRowShift : std::countr_zero(group_inputs);
  grouped.groups = ((inputs - 1) >> grouped.group_shift) + 1;
  grouped.scale_dtype = scale_dtype;
  LC_ASSIGN_OR_RETURN(matrix.data_, device.Allocate(padded * inputs * format.bits / 8, purpose));
  LC_ASSIGN_OR_RETURN(matrix.scales_,
                      device.Allocate(padded * grouped.groups * DTypeBytes(scale_dtype), purpose));
  grouped.scales = matrix.scales_.data();
  if (format.zeros) {
    LC_ASSIGN_OR_RETURN(matrix.zeros_,
                        device.Allocate(padded * grouped.groups * format.bits / 8, purpose));
    grouped.zeros = matrix.zeros_.As<uint8_t>();
  }
  if (format.act_order) {
    LC_ASSIGN_OR_RETURN(matrix.order_,
                        device.Allocate(inputs * static_cast<int64_t>(sizeof(int32_t)), purpose));
    grouped.order = matrix.order_.As<int32_t>();
  }
  return matrix;
}

absl::Status PackedMatrix::PackQuantized(const QuantizedRows& rows, std::span<const int32_t> order,
                                         Device& device) {
  CHECK_EQ(grouped_.order != nullptr, !order.empty());
  if (!order.empty()) {
    CHECK_EQ(static_cast<int64_t>(order.size()), inputs_);
    std::vector<int32_t> padded(order_.bytes() / static_cast<int64_t>(sizeof(int32_t)));
    std::copy(order.begin(), order.end(), padded.begin());
    LC_RETURN_IF_ERROR(Upload(padded.data(), order_.bytes(), order_.data(), device));
  }
  const int64_t bits = grouped_.bits;
  const int64_t row_bytes = kPanelOutputs * bits / 8;
  const int64_t panel_bytes = row_bytes * inputs_;
  const int64_t panel_scales = kPanelOutputs * grouped_.groups;
  const int64_t panel_zeros = grouped_.zeros == nullptr ? 0 : row_bytes * grouped_.groups;
  const int64_t most = std::clamp<int64_t>(kStagedBytes / panel_bytes, 1, num_panels());
  Staged staged;
  for (int64_t first = 0; first < num_panels(); first += most) {
    const int64_t count = std::min(most, num_panels() - first);
    staged.rows.assign(count * panel_bytes, 0);
    staged.scales.assign(count * panel_scales, 0);
    staged.zeros.assign(count * panel_zeros, 0);
    Mutex mutex;
    absl::Status failed;
    const auto pack = [&](int64_t i) -> absl::Status {
      std::vector<uint8_t> integers(inputs_), zeros(panel_zeros == 0 ? 0 : grouped_.groups);
      std::vector<uint16_t> scales(grouped_.groups);
      const int64_t begin = (first + i) * kPanelOutputs;
      const int64_t end = std::min(begin + kPanelOutputs, outputs_);
      for (int64_t output = begin; output < end; ++output) {
        LC_RETURN_IF_ERROR(rows.Read(output, integers, scales, zeros));
        const int64_t column = output - begin;
        SetColumn(integers, column, bits, staged.rows.data() + i * panel_bytes);
        SetColumn(zeros, column, bits, staged.zeros.data() + i * panel_zeros);
        for (int64_t group = 0; group < grouped_.groups; ++group) {
          staged.scales[i * panel_scales + group * kPanelOutputs + column] = scales[group];
        }
      }
      return absl::OkStatus();
    };
    device.pool().ParallelFor(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const absl::Status status = pack(i);
        if (status.ok()) continue;
        MutexLock lock(mutex);
        failed.Update(status);
      }
    });
    LC_RETURN_IF_ERROR(failed);
    const int64_t scale_bytes = panel_scales * static_cast<int64_t>(sizeof(uint16_t));
    LC_RETURN_IF_ERROR(Upload(staged.rows.data(), count * panel_bytes,
                              data_.As<char>() + first * panel_bytes, device));
    LC_RETURN_IF_ERROR(Upload(staged.scales.data(), count * scale_bytes,
                              scales_.As<char>() + first * scale_bytes, device));
    if (panel_zeros == 0) continue;
    LC_RETURN_IF_ERROR(Upload(staged.zeros.data(), count * panel_zeros,
                              zeros_.As<char>() + first * panel_zeros, device));
  }
  return absl::OkStatus();
}

}  // namespace layercake
