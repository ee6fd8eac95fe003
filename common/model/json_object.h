#pragma once

// JSON from strangers' files. For this room's sources only: no header of ours shows nlohmann's
// types.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace layercake {

// Parses `text` as one JSON object; `file` names it in messages.
// Errors: DataLoss (no JSON, no object, longer than `max_bytes`, or nested deeper than 64).
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text, absl::string_view file,
                                               size_t max_bytes);

// Reads an object's fields and keeps the first error, so that a reader of twenty fields checks
// once. A field that is null counts as left out. Errors are DataLoss and name file and field.
class FieldReader {
 public:
  // `object` must outlive the reader.
  FieldReader(const nlohmann::json& object, std::string file)
      : object_(object), file_(std::move(file)) {}

  bool Has(const char* name) const;
  // Null when left out.
  const nlohmann::json* Find(const char* name) const;

  // The field, checked to lie in [min, max]; `fallback` when left out, an error if that is unset
  // too.
  int64_t Int(const char* name, int64_t min, int64_t max, std::optional<int64_t> fallback = {});
  double Number(const char* name, double min, double max, std::optional<double> fallback = {});
  bool Bool(const char* name, bool fallback);
  std::string String(const char* name, absl::string_view fallback);

  // Records `message` about `name` unless an error was recorded before.
  void Fail(const char* name, absl::string_view message);
  const absl::Status& status() const { return status_; }

 private:
  const nlohmann::json& object_;
  const std::string file_;
  absl::Status status_;
};

}  // namespace layercake
