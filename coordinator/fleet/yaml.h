#pragma once

// YAML as plain values that know their line; yaml-cpp stays behind it.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace layercake {

struct YamlField;

struct YamlValue {
  enum class Kind { kNothing, kText, kList, kMap };
  Kind kind = Kind::kNothing;
  int line = 1;      // counted from 1
  std::string text;  // of kText: numbers and quoted text alike
  std::vector<YamlValue> items;
  std::vector<YamlField> fields;
};

struct YamlField {
  YamlValue key;  // of kText; each once in a map
  YamlValue value;
};

// Parses one document; `file` names it in messages.
// Errors: InvalidArgument with file and line (no YAML, more than one document, a key that is no
// text or stands twice, nested deeper than 16, more than 100,000 values, longer than 4 MiB).
absl::StatusOr<YamlValue> ParseYaml(absl::string_view text, absl::string_view file);

// InvalidArgument: "<file>:<line>: <message>".
absl::Status YamlError(absl::string_view file, const YamlValue& at, absl::string_view message);

}  // namespace layercake
