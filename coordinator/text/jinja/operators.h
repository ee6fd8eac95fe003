#pragma once

// Arithmetic, comparison and membership, as Python defines them.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/jinja/context.h"
#include "coordinator/text/jinja/value.h"

namespace layercake::jinja {

// `op` is one of + - * / // % ** ~.
// Errors: InvalidArgument (types that do not go together, division by zero, overflow);
// ResourceExhausted.
absl::StatusOr<Value> Arithmetic(absl::string_view op, const Value& left, const Value& right,
                                 Context& context);

// `op` is one of == != < <= > >= in "not in".
// Errors: InvalidArgument (types without an order, or that hold nothing).
absl::StatusOr<bool> Compare(absl::string_view op, const Value& left, const Value& right);

// Negative, zero or positive. Errors: InvalidArgument (types without an order).
absl::StatusOr<int> Order(const Value& left, const Value& right);

// Whether `item` is in the text, list or dict.
absl::StatusOr<bool> Contains(const Value& container, const Value& item);

// What a for loop goes over: the members of a list, keys of a dict, characters of a text; nothing
// of an undefined. Errors: InvalidArgument (another type); ResourceExhausted.
absl::StatusOr<List> Iterate(const Value& value, Context& context);

// InvalidArgument "'x' is undefined".
absl::Status UndefinedError(const Value& value);

}  // namespace layercake::jinja
