#pragma once

// The parts of MeasureProfile. Each adds its figures to `profile`.
// Errors: ResourceExhausted.

#include <cstdint>

#include "absl/status/status.h"
#include "worker/profile/profile.h"

namespace layercake {

// The working sets of products, at most; no cache holds it.
inline constexpr int64_t kLargestWorkingSet = int64_t{512} << 20;

// Products of 1 to 256 rows with matrices of every format, read round and round in working sets
// from what caches hold to what only memory does.
absl::Status MeasureProducts(Device& device, const MeasureLimits& limits,
                             v1::DeviceProfile* profile);
// One row of bf16 by matrices in the same working sets while the cores that this device does not
// use do the same. Nothing where there are none, under a quota, and for what is no CPU.
absl::Status MeasureCrowded(Device& device, const MeasureLimits& limits,
                            v1::DeviceProfile* profile);
// Attention of 1 to 48 query rows to each key head, over more keys and values than caches hold.
absl::Status MeasureAttention(Device& device, const MeasureLimits& limits,
                              v1::DeviceProfile* profile);
// What is left of a layer: the fixed cost of its kernels, and what each activation value adds.
absl::Status MeasureLayer(Device& device, const MeasureLimits& limits, v1::DeviceProfile* profile);
absl::Status MeasureSampler(Device& device, const MeasureLimits& limits,
                            v1::DeviceProfile* profile);

// The share of its threads' time that this process gets in the long run, in (0, 1]; 1 of what is no
// CPU.
absl::StatusOr<double> MeasureShare(Device& device, const MeasureLimits& limits);

}  // namespace layercake
