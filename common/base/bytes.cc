#include "common/base/bytes.h"

#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace layercake {

absl::StatusOr<int64_t> ParseBytes(absl::string_view text) {
  const std::string trimmed = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text));
  const size_t split = trimmed.find_first_not_of("0123456789.");
  const std::string number = trimmed.substr(0, split);
  const std::string unit(absl::StripLeadingAsciiWhitespace(
      split == std::string::npos ? absl::string_view() : absl::string_view(trimmed).substr(split)));
  static constexpr std::array<std::pair<absl::string_view, double>, 14> kUnits = {{
      {"", 1.0},
      {"b", 1.0},
      {"k", 0x1p10},
      {"kib", 0x1p10},
      {"kb", 1e3},
      {"m", 0x1p20},
      {"mib", 0x1p20},
      {"mb", 1e6},
      {"g", 0x1p30},
      {"gib", 0x1p30},
      {"gb", 1e9},
      {"t", 0x1p40},
      {"tib", 0x1p40},
      {"tb", 1e12},
  }};
  double value = 0;
  if (unit.empty() && absl::SimpleAtod(number, &value) && number.find('.') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" has no unit; write it like 11.5GiB"));
  }
  for (const auto& [name, factor] : kUnits) {
    if (unit != name) continue;
    if (!absl::SimpleAtod(number, &value)) break;
    value *= factor;
    if (value >= static_cast<double>(std::numeric_limits<int64_t>::max())) break;
    return static_cast<int64_t>(std::llround(value));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a size; write it like 11.5GiB, 512MiB or 1048576"));
}

absl::StatusOr<int64_t> ParseMemory(absl::string_view text) {
  const absl::StatusOr<int64_t> bytes = ParseBytes(text);
  if (!bytes.ok() || *bytes >= int64_t{1} << 20) return bytes;
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is ", FormatBytes(*bytes),
                                                 ", too little for a device; write it with its "
                                                 "unit, like 11.5GiB"));
}

std::string FormatBytes(int64_t bytes) {
  static constexpr std::array<const char*, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (std::abs(value) >= 1023.5 && unit + 1 < kNames.size()) value /= 1024, ++unit;
  if (unit == 0) return absl::StrCat(bytes, " B");
  return absl::StrFormat("%.*f %s",
                         std::abs(value) < 9.995   ? 2
                         : std::abs(value) < 99.95 ? 1
                                                   : 0,
                         value, kNames[unit]);
}

}  // namespace layercake
