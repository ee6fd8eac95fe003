#pragma once

// Typed reading of JSON that may hold anything. A member that is missing or null reads as absent;
// one of the wrong type is DataLoss naming `where` and the member.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace layercake {

using Json = nlohmann::json;
// Keeps the order of members.
using OrderedJson = nlohmann::ordered_json;

// Errors: DataLoss naming `name` (not JSON, with the parser's position).
absl::StatusOr<Json> ParseJson(absl::string_view text, absl::string_view name);
// Errors: NotFound, DataLoss (not readable, longer than `max_bytes`).
absl::StatusOr<std::string> ReadTextFile(const std::string& path, int64_t max_bytes);

// A file of JSON; null when there is no such file. Errors: DataLoss.
absl::StatusOr<Json> ReadOptionalJson(const std::string& path);

// A scalar as JSON, anything else by its type: for messages, however deep `json` nests.
std::string Describe(const Json& json);

// nullptr when absent. REQUIRES: nothing; a non-object has no members.
const Json* FindMember(const Json& object, absl::string_view name);

absl::StatusOr<const Json*> RequireMember(const Json& object, absl::string_view name,
                                          absl::string_view where);
absl::StatusOr<std::string> RequireString(const Json& object, absl::string_view name,
                                          absl::string_view where);
absl::StatusOr<std::optional<std::string>> OptionalString(const Json& object,
                                                          absl::string_view name,
                                                          absl::string_view where);
absl::StatusOr<bool> BoolOr(const Json& object, absl::string_view name, bool fallback,
                            absl::string_view where);
absl::StatusOr<int64_t> RequireInt(const Json& object, absl::string_view name,
                                   absl::string_view where);

}  // namespace layercake
