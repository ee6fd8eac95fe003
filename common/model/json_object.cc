#include "common/model/json_object.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/bytes.h"

namespace layercake {
namespace {

constexpr int kMaxDepth = 64;

int Depth(absl::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text, absl::string_view file,
                                               size_t max_bytes) {
  if (text.size() > max_bytes) {
    return absl::DataLossError(absl::StrCat(file, " is ", FormatBytes(text.size()),
                                            " long; at most ", FormatBytes(max_bytes),
                                            " is believable"));
  }
  if (Depth(text) > kMaxDepth) {
    return absl::DataLossError(
        absl::StrCat(file, " is nested deeper than ", kMaxDepth, " levels of brackets"));
  }
  nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), /*cb=*/nullptr,
                                              /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::DataLossError(absl::StrCat(file, " is not valid JSON"));
  if (!json.is_object()) return absl::DataLossError(absl::StrCat(file, " is not a JSON object"));
  return json;
}

const nlohmann::json* FieldReader::Find(const char* name) const {
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

bool FieldReader::Has(const char* name) const { return Find(name) != nullptr; }

int64_t FieldReader::Int(const char* name, int64_t min, int64_t max,
                         std::optional<int64_t> fallback) {
  const double value = Number(name, static_cast<double>(min), static_cast<double>(max),
                              fallback ? std::optional<double>(*fallback) : std::nullopt);
  if (value != std::floor(value)) {
    Fail(name, absl::StrCat("must be a whole number, got ", value));
    return min;
  }
  return static_cast<int64_t>(value);
}

double FieldReader::Number(const char* name, double min, double max,
                           std::optional<double> fallback) {
  const nlohmann::json* field = Find(name);
  if (field == nullptr) {
    if (!fallback) Fail(name, "is missing");
    return fallback.value_or(min);
  }
  if (!field->is_number()) {
    Fail(name, absl::StrCat("must be a number, got a ", field->type_name()));
    return min;
  }
  const double value = field->get<double>();
  if (!(value >= min && value <= max)) {
    Fail(name, absl::StrFormat("must be from %.15g to %.15g, got %.15g", min, max, value));
    return min;
  }
  return value;
}

bool FieldReader::Bool(const char* name, bool fallback) {
  const nlohmann::json* field = Find(name);
  if (field == nullptr) return fallback;
  if (!field->is_boolean()) {
    Fail(name, absl::StrCat("must be true or false, got a ", field->type_name()));
    return fallback;
  }
  return field->get<bool>();
}

std::string FieldReader::String(const char* name, absl::string_view fallback) {
  const nlohmann::json* field = Find(name);
  if (field == nullptr) return std::string(fallback);
  if (!field->is_string()) {
    Fail(name, absl::StrCat("must be a string, got a ", field->type_name()));
    return std::string(fallback);
  }
  return field->get<std::string>();
}

void FieldReader::Fail(const char* name, absl::string_view message) {
  if (!status_.ok()) return;
  status_ = absl::DataLossError(absl::StrCat(file_, ": ", name, " ", message));
}

}  // namespace layercake
