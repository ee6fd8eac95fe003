#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/json_fields.h"
#include "coordinator/text/regex.h"

namespace layercake {

// Reads the member `pattern` of `json`: {"Regex": "..."} or {"String": "..."}.
// Errors: DataLoss (malformed, named `where`), Unimplemented (from Regex::Compile).
absl::StatusOr<Regex> ReadPattern(const Json& json, absl::string_view where);

}  // namespace layercake
