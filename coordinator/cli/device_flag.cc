#include "coordinator/cli/device_flag.h"

#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/bytes.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

absl::StatusOr<double> ParseFlops(absl::string_view text) {
  std::string lower = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text));
  absl::string_view rest = lower;
  if (!absl::ConsumeSuffix(&rest, "flops")) absl::ConsumeSuffix(&rest, "flop/s");
  double factor = 1;
  for (const auto& [suffix, value] :
       {std::pair{"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12}, {"p", 1e15}}) {
    if (absl::ConsumeSuffix(&rest, suffix)) {
      factor = value;
      break;
    }
  }
  double number = 0;
  if (!absl::SimpleAtod(rest, &number) || !(number > 0) || number * factor > 1e24) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not a rate of operations; write it like 6.8TFLOPS"));
  }
  return number * factor;
}

}  // namespace

absl::StatusOr<PlannerDevice> ParseDeviceFlag(absl::string_view text) {
  const auto expected = [text](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("--device \"", text, "\": ", why,
                     "; write name=memory[,bandwidth[,flops]], as in m40=12GB,288GB/s,6.8TFLOPS"));
  };
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos || equals == 0) return expected("no name");
  const std::vector<std::string> parts = absl::StrSplit(text.substr(equals + 1), ',');
  if (parts.size() > 3) return expected("too many parts");
  PlannerDevice device{.name = std::string(text.substr(0, equals))};
  // Each is a host of its own: nothing says that two share memory.
  device.host = device.name;
  device.device.set_name(device.name);
  device.device.set_kind(absl::StartsWithIgnoreCase(device.name, "cpu") ? v1::DEVICE_KIND_CPU
                                                                        : v1::DEVICE_KIND_CUDA);
  const absl::StatusOr<int64_t> memory = ParseBytes(parts[0]);
  if (!memory.ok()) return expected(memory.status().message());
  if (*memory == 0) return expected("no memory");
  device.device.set_total_bytes(static_cast<uint64_t>(*memory));
  device.device.set_free_bytes(static_cast<uint64_t>(*memory));
  if (parts.size() > 1) {
    const absl::StatusOr<int64_t> bandwidth = ParseBytes(absl::StripSuffix(parts[1], "/s"));
    if (!bandwidth.ok() || *bandwidth == 0) return expected("bad bandwidth");
    device.profile.set_bandwidth_bytes_per_second(static_cast<double>(*bandwidth));
  }
  if (parts.size() > 2) {
    const absl::StatusOr<double> flops = ParseFlops(parts[2]);
    if (!flops.ok()) return expected(flops.status().message());
    device.profile.set_flops_per_second(*flops);
  }
  return device;
}

}  // namespace layercake
