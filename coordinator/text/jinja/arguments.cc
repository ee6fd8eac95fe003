#include "coordinator/text/jinja/arguments.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace layercake::jinja {

absl::StatusOr<std::vector<Value>> Bind(absl::string_view function, const Arguments& arguments,
                                        std::initializer_list<absl::string_view> names,
                                        size_t required) {
  std::vector<Value> values(names.size());
  std::vector<bool> given(names.size(), false);
  if (arguments.positional.size() > names.size()) {
    return absl::InvalidArgumentError(absl::StrCat(function, "() takes at most ", names.size(),
                                                   " arguments, not ",
                                                   arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    values[i] = arguments.positional[i];
    given[i] = true;
  }
  for (const auto& [name, value] : arguments.named) {
    const auto it = std::find(names.begin(), names.end(), name);
    const auto i = static_cast<size_t>(it - names.begin());
    if (it == names.end() || given[i]) {
      return absl::InvalidArgumentError(absl::StrCat(function, "() got ",
                                                     it == names.end() ? "an unknown" : "a second",
                                                     " argument '", name, "'"));
    }
    values[i] = value;
    given[i] = true;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!given[i]) {
      return absl::InvalidArgumentError(
          absl::StrCat(function, "() misses its argument '", names.begin()[i], "'"));
    }
  }
  return values;
}

absl::StatusOr<int64_t> IntOr(const Value& value, int64_t fallback, absl::string_view function) {
  if (value.is_undefined() || value.is_none()) return fallback;
  if (value.is_int() || value.is_bool()) return value.integer();
  return absl::InvalidArgumentError(
      absl::StrCat(function, "() needs an integer, not a ", value.TypeName()));
}

absl::StatusOr<std::string> TextOr(const Value& value, absl::string_view fallback,
                                   absl::string_view function) {
  if (value.is_undefined() || value.is_none()) return std::string(fallback);
  if (value.is_text()) return value.str();
  return absl::InvalidArgumentError(
      absl::StrCat(function, "() needs a string, not a ", value.TypeName()));
}

}  // namespace layercake::jinja
