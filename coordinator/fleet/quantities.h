#pragma once

// Rates and versions as people write them; sizes are in common/base/bytes.h.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace layercake {

// Bytes a second from "288GB/s", "1.5TB/s", "10Gbit/s", "10Gbps" (units as ParseBytes', "/s" may be
// left out). Errors: InvalidArgument (not a rate, or zero).
absl::StatusOr<double> ParseBandwidth(absl::string_view text);

// Operations a second from "6.8TFLOPS", "500G" (powers of 1000). Errors: InvalidArgument.
absl::StatusOr<double> ParseOperations(absl::string_view text);

// 52 from "5.2". Errors: InvalidArgument.
absl::StatusOr<int> ParseComputeCapability(absl::string_view text);

}  // namespace layercake
