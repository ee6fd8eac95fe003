#pragma once

// What every template can use: filters, tests, functions, and the methods of texts and dicts.

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/jinja/context.h"
#include "coordinator/text/jinja/value.h"

namespace layercake::jinja {

// `value` is what stands before the bar. Errors: InvalidArgument, ResourceExhausted.
using Filter = absl::StatusOr<Value> (*)(const Value& value, const Arguments& arguments,
                                         Context& context);
using Test = absl::StatusOr<bool> (*)(const Value& value, const Arguments& arguments);

// nullptr when there is none of that name.
Filter FindFilter(absl::string_view name);
Test FindTest(absl::string_view name);

// The method `name` of `value`, bound to it; none when it has none. Methods that would change a
// list or dict are there to be refused: chat templates are read-only.
std::optional<Value> FindMethod(const Value& value, absl::string_view name);

// Sets range, namespace, dict, raise_exception and strftime_now.
void SetBuiltinFunctions(Scope& globals);

// The parts that FindFilter looks through.
Filter FindTextFilter(absl::string_view name);
Filter FindSequenceFilter(absl::string_view name);
Filter FindSelectFilter(absl::string_view name);

}  // namespace layercake::jinja
