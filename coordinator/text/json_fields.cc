#include "coordinator/text/json_fields.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

absl::Status WrongType(absl::string_view name, absl::string_view where, absl::string_view wanted,
                       const Json& value) {
  return absl::DataLossError(
      absl::StrCat(where, ": '", name, "' is ", value.type_name(), " where ", wanted, " belongs"));
}

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text, absl::string_view name) {
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat(name, " is not JSON: ", error.what()));
  }
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, int64_t max_bytes) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot open ", path));
  const auto size = static_cast<int64_t>(file.tellg());
  if (size < 0) return absl::DataLossError(absl::StrCat("cannot read ", path));
  if (size > max_bytes) {
    return absl::DataLossError(absl::StrCat(path, " is ", FormatBytes(size), " long; at most ",
                                            FormatBytes(max_bytes), " are read"));
  }
  std::string text(static_cast<size_t>(size), '\0');
  file.seekg(0);
  if (!file.read(text.data(), size)) {
    return absl::DataLossError(absl::StrCat("cannot read ", path));
  }
  return text;
}

absl::StatusOr<Json> ReadOptionalJson(const std::string& path) {
  constexpr int64_t kMaxFileBytes = int64_t{256} << 20;
  if (!std::filesystem::exists(path)) return Json();
  LC_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxFileBytes));
  return ParseJson(text, path);
}

std::string Describe(const Json& json) {
  if (json.is_structured()) return absl::StrCat("an ", json.type_name());
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* FindMember(const Json& object, absl::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

absl::StatusOr<const Json*> RequireMember(const Json& object, absl::string_view name,
                                          absl::string_view where) {
  const Json* member = FindMember(object, name);
  if (member == nullptr) {
    return absl::DataLossError(absl::StrCat(where, ": '", name, "' is missing"));
  }
  return member;
}

absl::StatusOr<std::string> RequireString(const Json& object, absl::string_view name,
                                          absl::string_view where) {
  LC_ASSIGN_OR_RETURN(const Json* member, RequireMember(object, name, where));
  if (!member->is_string()) return WrongType(name, where, "a string", *member);
  return member->get_ref<const std::string&>();
}

absl::StatusOr<std::optional<std::string>> OptionalString(const Json& object,
                                                          absl::string_view name,
                                                          absl::string_view where) {
  const Json* member = FindMember(object, name);
  if (member == nullptr) return std::nullopt;
  if (!member->is_string()) return WrongType(name, where, "a string", *member);
  return member->get_ref<const std::string&>();
}

absl::StatusOr<bool> BoolOr(const Json& object, absl::string_view name, bool fallback,
                            absl::string_view where) {
  const Json* member = FindMember(object, name);
  if (member == nullptr) return fallback;
  if (!member->is_boolean()) return WrongType(name, where, "true or false", *member);
  return member->get<bool>();
}

absl::StatusOr<int64_t> RequireInt(const Json& object, absl::string_view name,
                                   absl::string_view where) {
  LC_ASSIGN_OR_RETURN(const Json* member, RequireMember(object, name, where));
  if (!member->is_number_integer()) return WrongType(name, where, "an integer", *member);
  if (member->is_number_unsigned() && member->get<uint64_t>() > INT64_MAX) {
    return WrongType(name, where, "a 63-bit integer", *member);
  }
  return member->get<int64_t>();
}

}  // namespace layercake
