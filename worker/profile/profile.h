#pragma once

// How fast this device is, measured with the engine's own kernels.

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "layercake/v1/types.pb.h"
#include "worker/device/device.h"

namespace layercake {

struct MeasureLimits {
  // Of device memory that may be taken for it; below 1 MiB nothing sensible can be measured.
  int64_t max_bytes = int64_t{1} << 30;
  // Spent on each of about 220 figures.
  absl::Duration patience = absl::Milliseconds(20);
  // For other processes that measure.
  absl::Duration longest_wait = absl::Minutes(2);
};

// Measures all of v1::DeviceProfile in about 5 s: products over the working sets and rows that
// decoding and prompts have, in every format; attention; what a layer costs beside them; sampling.
// Where the process gets less than its threads could use (a quota, others on its cores) rates are
// what it gets.
// Errors: ResourceExhausted; the device's status().
absl::StatusOr<v1::DeviceProfile> MeasureProfile(Device& device, const MeasureLimits& limits);

// Reads what --profile says, and gives the device's profile by it:
//   "measure"            measures, and keeps the result in the cache;
//   "cached"             as the cache has it, else as "measure";
//   "BANDWIDTH,FLOPS"    these, e.g. "19.6e9,200e9".
// `cache_path`: see DefaultProfileCachePath. A cache that cannot be read or written is done
// without, with a warning. Processes that ask at the same time measure one after another, unless
// one takes longer than others wait for it. Errors: InvalidArgument (none of the above); as
// MeasureProfile.
absl::StatusOr<v1::DeviceProfile> GetProfile(absl::string_view mode, Device& device,
                                             const MeasureLimits& limits,
                                             const std::string& cache_path);

// layercake/profile.json under XDG_CACHE_HOME or ~/.cache; empty if there is no home.
std::string DefaultProfileCachePath();

}  // namespace layercake
