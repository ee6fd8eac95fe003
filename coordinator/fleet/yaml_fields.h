#pragma once

// Reads the fields of a YAML map and keeps the first error, so that a reader of ten fields checks
// once. Errors are InvalidArgument with file and line.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "coordinator/fleet/yaml.h"

namespace layercake {

class YamlFields {
 public:
  // Fails at once if `map` is no map, or has a key that is not `known`. Both must outlive the
  // reader, as must `what` ("a device") and `file`.
  YamlFields(const YamlValue& map, absl::string_view file, absl::string_view what,
             const std::vector<absl::string_view>& known);

  bool Has(absl::string_view key) const { return Find(key) != nullptr; }
  // Null where left out or empty.
  const YamlValue* Find(absl::string_view key) const;
  // The text of `key`, "" where left out.
  std::string Text(absl::string_view key);
  // What `parse` makes of the text of `key`; nullopt where left out or wrong.
  template <typename T>
  std::optional<T> Parsed(absl::string_view key,
                          const std::function<absl::StatusOr<T>(absl::string_view)>& parse) {
    if (!Has(key)) return std::nullopt;
    absl::StatusOr<T> value = parse(Text(key));
    if (value.ok()) return *std::move(value);
    FailAt(*Find(key), absl::StrCat(key, ": ", value.status().message()));
    return std::nullopt;
  }

  // Records an error at the map's own line, or at a value's, unless one was recorded before.
  void Fail(absl::string_view message) { FailAt(map_, message); }
  void FailAt(const YamlValue& at, absl::string_view message);
  const absl::Status& status() const { return status_; }

 private:
  const YamlValue& map_;
  const absl::string_view file_;
  absl::Status status_;
};

}  // namespace layercake
