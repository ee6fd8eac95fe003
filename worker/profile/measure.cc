#include "worker/profile/measure.h"

#include <algorithm>

#include "common/base/status_macros.h"
#include "worker/profile/cpu_allowance.h"

namespace layercake {
namespace {

// Below this the process is held back, above it was merely interrupted.
constexpr double kWholeShare = 0.9;

void Scale(double share, v1::DeviceProfile& profile) {
  for (v1::StreamRate& rate : *profile.mutable_weights()) {
    rate.set_bytes_per_second(rate.bytes_per_second() * share);
  }
  for (v1::StreamRate& rate : *profile.mutable_kv()) {
    rate.set_bytes_per_second(rate.bytes_per_second() * share);
  }
  for (v1::StreamRate& rate : *profile.mutable_crowded()) {
    rate.set_bytes_per_second(rate.bytes_per_second() * share);
  }
  profile.set_bandwidth_bytes_per_second(profile.bandwidth_bytes_per_second() * share);
  profile.set_flops_per_second(profile.flops_per_second() * share);
  profile.set_layer_seconds(profile.layer_seconds() / share);
  profile.set_activation_values_per_second(profile.activation_values_per_second() * share);
  profile.set_logits_per_second(profile.logits_per_second() * share);
}

}  // namespace

absl::StatusOr<v1::DeviceProfile> MeasureProfile(Device& device, const MeasureLimits& limits) {
  v1::DeviceProfile profile;
  LC_RETURN_IF_ERROR(MeasureProducts(device, limits, &profile));
  LC_RETURN_IF_ERROR(MeasureCrowded(device, limits, &profile));
  LC_RETURN_IF_ERROR(MeasureAttention(device, limits, &profile));
  LC_RETURN_IF_ERROR(MeasureLayer(device, limits, &profile));
  LC_RETURN_IF_ERROR(MeasureSampler(device, limits, &profile));
  LC_RETURN_IF_ERROR(device.status());
  LC_ASSIGN_OR_RETURN(double share, MeasureShare(device, limits));
  // A quota allows bursts, which a moment's measuring takes for more than it grants.
  if (device.kind() == DeviceKind::kCpu) {
    share = std::min(share, CpuAllowance::Current().ShareOf(device.num_threads()));
  }
  if (share < kWholeShare) Scale(share, profile);
  return profile;
}

}  // namespace layercake
