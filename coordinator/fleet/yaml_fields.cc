#include "coordinator/fleet/yaml_fields.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/fleet/spelling.h"

namespace layercake {

YamlFields::YamlFields(const YamlValue& map, absl::string_view file, absl::string_view what,
                       const std::vector<absl::string_view>& known)
    : map_(map), file_(file) {
  if (map.kind != YamlValue::Kind::kMap) {
    Fail(absl::StrCat(what, " must be keys and values; known keys are ",
                      absl::StrJoin(known, ", ")));
    return;
  }
  for (const auto& [key, value] : map.fields) {
    if (std::find(known.begin(), known.end(), key.text) != known.end()) continue;
    const std::string hint = DidYouMean(key.text, known);
    FailAt(key,
           absl::StrCat("unknown key \"", key.text, "\" in ", what,
                        hint.empty() ? "; known keys are " + absl::StrJoin(known, ", ") : hint));
  }
}

const YamlValue* YamlFields::Find(absl::string_view key) const {
  for (const auto& [name, value] : map_.fields) {
    if (name.text == key && value.kind != YamlValue::Kind::kNothing) return &value;
  }
  return nullptr;
}

std::string YamlFields::Text(absl::string_view key) {
  const YamlValue* value = Find(key);
  if (value == nullptr) return "";
  if (value->kind != YamlValue::Kind::kText || value->text.empty()) {
    FailAt(*value, absl::StrCat(key, " must be one value"));
  }
  return value->text;
}

void YamlFields::FailAt(const YamlValue& at, absl::string_view message) {
  if (status_.ok()) status_ = YamlError(file_, at, message);
}

}  // namespace layercake
