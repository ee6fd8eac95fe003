#pragma once

// How fast this device is, measured with the engine's own kernels.

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/device/device.h"

namespace layercake {

struct Profile {
  double bandwidth_bytes_per_second = 0;  // weights streamed by the decode product
  double flops_per_second = 0;            // of the prefill product, f32 accumulate
};

// Measures for about 0.3 s each: a product with one row over weights much larger than the caches,
// and one with as many rows as a step of prompt has.
//   max_bytes: of weights that may be taken for it; below 1 MiB nothing sensible can be measured.
// Errors: ResourceExhausted.
absl::StatusOr<Profile> MeasureProfile(Device& device, int64_t max_bytes);

// Reads what --profile says, and gives the device's profile by it:
//   "measure"            measures, and keeps the result in the cache;
//   "cached"             as the cache has it, else as "measure";
//   "BANDWIDTH,FLOPS"    these, e.g. "19.6e9,200e9".
// `cache_path`: see DefaultProfileCachePath. A cache that cannot be read or written is done
// without, with a warning. Processes that ask at the same time measure one after another. Errors:
// InvalidArgument (none of the above); as MeasureProfile.
absl::StatusOr<Profile> GetProfile(absl::string_view mode, Device& device, int64_t max_bytes,
                                   const std::string& cache_path);

// layercake/profile.json under XDG_CACHE_HOME or ~/.cache; empty if there is no home.
std::string DefaultProfileCachePath();

}  // namespace layercake
