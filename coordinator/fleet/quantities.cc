#include "coordinator/fleet/quantities.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/bytes.h"

namespace layercake {
namespace {

// The number before a power of 1000 with a letter of its own, or before none.
absl::StatusOr<double> ParseScaled(absl::string_view text) {
  double factor = 1;
  for (const auto& [suffix, value] :
       {std::pair{"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12}, {"p", 1e15}}) {
    if (absl::ConsumeSuffix(&text, suffix)) {
      factor = value;
      break;
    }
  }
  double number = 0;
  if (!absl::SimpleAtod(text, &number) || !(number > 0) || number * factor > 1e24) {
    return absl::InvalidArgumentError("no number above 0");
  }
  return number * factor;
}

}  // namespace

absl::StatusOr<double> ParseBandwidth(absl::string_view text) {
  const std::string lower = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text));
  absl::string_view rest = lower;
  if (absl::ConsumeSuffix(&rest, "bit/s") || absl::ConsumeSuffix(&rest, "bps")) {
    const absl::StatusOr<double> bits = ParseScaled(absl::StripTrailingAsciiWhitespace(rest));
    if (bits.ok()) return *bits / 8;
  } else {
    absl::ConsumeSuffix(&rest, "/s");
    const absl::StatusOr<int64_t> bytes = ParseBytes(rest);
    if (bytes.ok() && *bytes > 0) return static_cast<double>(*bytes);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a bandwidth; write it like 288GB/s or 10Gbit/s"));
}

absl::StatusOr<double> ParseOperations(absl::string_view text) {
  const std::string lower = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text));
  absl::string_view rest = lower;
  if (!absl::ConsumeSuffix(&rest, "flops")) absl::ConsumeSuffix(&rest, "flop/s");
  const absl::StatusOr<double> rate = ParseScaled(absl::StripTrailingAsciiWhitespace(rest));
  if (rate.ok()) return *rate;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a rate of operations; write it like 6.8TFLOPS"));
}

absl::StatusOr<int> ParseComputeCapability(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  int major = 0;
  int minor = 0;
  if (parts.size() == 2 && absl::SimpleAtoi(parts[0], &major) &&
      absl::SimpleAtoi(parts[1], &minor) && major >= 1 && major <= 99 && minor >= 0 && minor <= 9) {
    return major * 10 + minor;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a compute capability; write it like 5.2"));
}

}  // namespace layercake
