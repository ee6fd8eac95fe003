#pragma once

// Reading the arguments of built-in functions, methods, filters and tests.

#include <initializer_list>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/jinja/value.h"

namespace layercake::jinja {

// The arguments in the order of `names`; those not given are undefined. The first `required` must
// be given. Errors: InvalidArgument (too many, too few, unknown or double), naming `function`.
absl::StatusOr<std::vector<Value>> Bind(absl::string_view function, const Arguments& arguments,
                                        std::initializer_list<absl::string_view> names,
                                        size_t required = 0);

// Errors: InvalidArgument naming `function` (the value is of another type). An undefined value
// gives `fallback`.
absl::StatusOr<int64_t> IntOr(const Value& value, int64_t fallback, absl::string_view function);
absl::StatusOr<std::string> TextOr(const Value& value, absl::string_view fallback,
                                   absl::string_view function);

}  // namespace layercake::jinja
