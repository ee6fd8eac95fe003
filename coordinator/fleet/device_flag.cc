#include "coordinator/fleet/device_flag.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/bytes.h"
#include "common/base/status_macros.h"
#include "coordinator/fleet/cards.h"
#include "coordinator/fleet/quantities.h"

namespace layercake {
namespace {

absl::Status ReadMemory(absl::string_view text, v1::Device& device) {
  LC_ASSIGN_OR_RETURN(const int64_t memory, ParseMemory(text));
  device.set_free_bytes(static_cast<uint64_t>(memory));
  device.set_total_bytes(std::max(device.total_bytes(), device.free_bytes()));
  return absl::OkStatus();
}

// Sizes begin with a digit, and no card does.
bool NamesACard(absl::string_view part) {
  part = absl::StripLeadingAsciiWhitespace(part);
  return !part.empty() && absl::ascii_isalpha(static_cast<unsigned char>(part[0]));
}

absl::Status ReadCard(const std::vector<std::string>& parts, PlannerDevice& device) {
  if (parts.size() > 2) return absl::InvalidArgumentError("too many parts after the card");
  const absl::StatusOr<CardModel> card = FindCardModel(parts[0]);
  if (!card.ok()) return absl::InvalidArgumentError(card.status().message());
  device.device = DeviceOf(*card);
  device.profile = ProfileOf(*card);
  return parts.size() == 2 ? ReadMemory(parts[1], device.device) : absl::OkStatus();
}

absl::Status ReadFigures(const std::vector<std::string>& parts, PlannerDevice& device) {
  if (parts.size() > 3) return absl::InvalidArgumentError("too many parts");
  device.device.set_name(device.name);
  device.device.set_kind(absl::StartsWithIgnoreCase(device.name, "cpu") ? v1::DEVICE_KIND_CPU
                                                                        : v1::DEVICE_KIND_CUDA);
  LC_RETURN_IF_ERROR(ReadMemory(parts[0], device.device));
  if (parts.size() > 1) {
    LC_ASSIGN_OR_RETURN(const double bandwidth, ParseBandwidth(parts[1]));
    device.profile.set_bandwidth_bytes_per_second(bandwidth);
  }
  if (parts.size() > 2) {
    LC_ASSIGN_OR_RETURN(const double operations, ParseOperations(parts[2]));
    device.profile.set_flops_per_second(operations);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckDeviceName(absl::string_view name) {
  const auto separates = [](unsigned char c) {
    return c == ',' || c == '=' || absl::ascii_isspace(c) || absl::ascii_iscntrl(c);
  };
  if (!name.empty() && std::none_of(name.begin(), name.end(), separates)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", absl::Utf8SafeCHexEscape(name),
                   "\" is no name of a device: it must be one word without , and =, for flags "
                   "such as --max-memory name devices"));
}

absl::StatusOr<PlannerDevice> ParseDeviceFlag(absl::string_view text) {
  const auto expected = [text](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("--device \"", text, "\": ", why,
                     "; write name=memory[,bandwidth[,operations]], as in "
                     "m40=12GB,288GB/s,6.8TFLOPS, or name=card[,memory], as in m40=tesla-m40"));
  };
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos || equals == 0) return expected("no name");
  if (const absl::Status named = CheckDeviceName(text.substr(0, equals)); !named.ok()) {
    return expected(named.message());
  }
  const std::vector<std::string> parts = absl::StrSplit(text.substr(equals + 1), ',');
  PlannerDevice device{.name = std::string(text.substr(0, equals))};
  // Each is a host of its own: nothing says that two share memory.
  device.host = device.name;
  const absl::Status status =
      NamesACard(parts[0]) ? ReadCard(parts, device) : ReadFigures(parts, device);
  if (!status.ok()) return expected(status.message());
  return device;
}

}  // namespace layercake
