#pragma once

// Devices named on the command line, for planning without a cluster.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/placement/planner.h"

namespace layercake {

// Whether flags can name a device so. Errors: InvalidArgument (empty; blanks, commas, = or control
// characters).
absl::Status CheckDeviceName(absl::string_view name);

// Parses "name=memory[,bandwidth[,operations]]", as in "m40=12GB,288GB/s,6.8TFLOPS", or
// "name=card[,memory]", as in "m40=tesla-m40,11GiB": free memory as in ParseMemory; bandwidth and
// operations a second as in quantities.h. A name that begins with "cpu" is a CPU, any other a GPU.
// Errors: InvalidArgument (says what was expected).
absl::StatusOr<PlannerDevice> ParseDeviceFlag(absl::string_view text);

}  // namespace layercake
