#pragma once

// Devices named on the command line, for planning without a cluster.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/placement/planner.h"

namespace layercake {

// Parses "name=memory[,bandwidth[,flops]]", as in "m40=12GB,288GB/s,6.8TFLOPS": free memory as in
// ParseBytes; bandwidth in bytes a second, "/s" optional; operations a second with K, M, G, T, P
// for powers of 1000, "FLOPS" optional. A name that begins with "cpu" is a CPU, any other a GPU.
// Errors: InvalidArgument (says what was expected).
absl::StatusOr<PlannerDevice> ParseDeviceFlag(absl::string_view text);

}  // namespace layercake
