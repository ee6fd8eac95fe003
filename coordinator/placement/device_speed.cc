#include "coordinator/placement/device_speed.h"

#include <algorithm>
#include <cmath>

namespace layercake {
namespace {

// What a crowded device was measured with.
constexpr DType kCrowdedFormat = DType::kBF16;

bool IsRate(double value) { return std::isfinite(value) && value > 0; }

double Inverse(double rate) { return IsRate(rate) ? 1 / rate : 0; }

}  // namespace

StreamTable::StreamTable(const google::protobuf::RepeatedPtrField<v1::StreamRate>& rates,
                         absl::string_view format) {
  for (const v1::StreamRate& rate : rates) {
    if (rate.format() != format || rate.rows() < 1 || rate.working_set_bytes() == 0 ||
        !IsRate(rate.bytes_per_second())) {
      continue;
    }
    const double log_bytes = std::log(static_cast<double>(rate.working_set_bytes()));
    auto curve = std::ranges::find(curves_, log_bytes, &Curve::log_working_set);
    if (curve == curves_.end()) curve = curves_.insert(curve, {.log_working_set = log_bytes});
    curve->points.push_back({static_cast<double>(rate.rows()), 1 / rate.bytes_per_second()});
  }
  std::ranges::sort(curves_, {}, &Curve::log_working_set);
  for (Curve& curve : curves_) std::ranges::sort(curve.points, {}, &Point::rows);
}

double StreamTable::At(const Curve& curve, double rows) {
  const Point& last = curve.points.back();
  if (rows >= last.rows) return last.seconds_per_byte * rows / last.rows;
  const auto after = std::ranges::upper_bound(curve.points, rows, {}, &Point::rows);
  if (after == curve.points.begin()) return after->seconds_per_byte;
  const auto before = after - 1;
  const double share = (rows - before->rows) / (after->rows - before->rows);
  return before->seconds_per_byte + share * (after->seconds_per_byte - before->seconds_per_byte);
}

double StreamTable::SecondsPerByte(double rows, double working_set_bytes) const {
  const double log_bytes = std::log(std::max(working_set_bytes, 1.0));
  const auto after = std::ranges::upper_bound(curves_, log_bytes, {}, &Curve::log_working_set);
  if (after == curves_.begin()) return At(*after, rows);
  const auto before = after - 1;
  if (after == curves_.end()) return At(*before, rows);
  const double share =
      (log_bytes - before->log_working_set) / (after->log_working_set - before->log_working_set);
  return (1 - share) * At(*before, rows) + share * At(*after, rows);
}

StreamTable StreamTable::Crowded(absl::FunctionRef<double(double)> share_of) const {
  StreamTable crowded = *this;
  for (Curve& curve : crowded.curves_) {
    const double least = curve.points.front().seconds_per_byte / share_of(curve.log_working_set);
    for (Point& point : curve.points) {
      point.seconds_per_byte = std::max(point.seconds_per_byte, least);
    }
  }
  return crowded;
}

StreamTable StreamTable::Slowed(double factor) const {
  StreamTable slowed = *this;
  for (Curve& curve : slowed.curves_) {
    for (Point& point : curve.points) point.seconds_per_byte *= factor;
  }
  return slowed;
}

DeviceSpeed SpeedOf(const v1::Device& device, const v1::DeviceProfile& profile) {
  const bool cuda = device.kind() == v1::DEVICE_KIND_CUDA;
  DeviceSpeed speed{.bytes_per_second = cuda ? 200e9 : 10e9,
                    .flops_per_second = cuda ? 5e12 : 1e11};
  if (IsRate(profile.bandwidth_bytes_per_second())) {
    speed.bytes_per_second = profile.bandwidth_bytes_per_second();
  }
  if (IsRate(profile.flops_per_second())) speed.flops_per_second = profile.flops_per_second();
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    speed.weights[static_cast<size_t>(dtype)] = StreamTable(profile.weights(), DTypeName(dtype));
    speed.kv[static_cast<size_t>(dtype)] = StreamTable(profile.kv(), DTypeName(dtype));
  }
  speed.int8 = StreamTable(profile.weights(), "int8");
  speed.int4 = StreamTable(profile.weights(), "int4");
  speed.layer_seconds = IsRate(profile.layer_seconds()) ? profile.layer_seconds() : 0;
  speed.seconds_per_activation_value = Inverse(profile.activation_values_per_second());
  speed.seconds_per_logit = Inverse(profile.logits_per_second());
  return speed;
}

DeviceSpeed CrowdedSpeedOf(const v1::Device& device, const v1::DeviceProfile& profile,
                           double threads_per_core) {
  DeviceSpeed speed = SpeedOf(device, profile);
  const StreamTable alone(profile.weights(), DTypeName(kCrowdedFormat));
  const StreamTable crowded(profile.crowded(), DTypeName(kCrowdedFormat));
  const auto share_of = [&](double log_working_set) {
    if (alone.empty() || crowded.empty()) return 1.0;
    const double bytes = std::exp(log_working_set);
    return std::min(1.0, alone.SecondsPerByte(1, bytes) / crowded.SecondsPerByte(1, bytes));
  };
  const double factor = std::max(1.0, threads_per_core);
  const auto crowd = [&](StreamTable& table) { table = table.Crowded(share_of).Slowed(factor); };
  for (StreamTable& table : speed.weights) crowd(table);
  for (StreamTable& table : speed.kv) crowd(table);
  crowd(speed.int8);
  crowd(speed.int4);
  speed.bytes_per_second /= factor;
  speed.flops_per_second /= factor;
  speed.layer_seconds *= factor;
  speed.seconds_per_activation_value *= factor;
  speed.seconds_per_logit *= factor;
  return speed;
}

}  // namespace layercake
