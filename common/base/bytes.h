#pragma once

// Byte quantities as people write and read them.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace layercake {

// Parses "11.5GiB", "512MiB", "6GB", "1048576" or "100B"; units are case-insensitive, a space
// may stand before the unit. KiB/MiB/GiB/TiB are powers of 1024, KB/MB/GB/TB powers of 1000; a
// bare K/M/G/T counts as its power of 1024.
// Errors: InvalidArgument (not a number, a fraction without a unit, unknown unit, negative, above
// 2^63-1).
absl::StatusOr<int64_t> ParseBytes(absl::string_view text);

// As ParseBytes, of a device's memory: less than 1 MiB is InvalidArgument, for so little is a
// forgotten unit.
absl::StatusOr<int64_t> ParseMemory(absl::string_view text);

// "11.5 GiB", "512 MiB", "640 B": three significant digits, binary units.
std::string FormatBytes(int64_t bytes);

}  // namespace layercake
