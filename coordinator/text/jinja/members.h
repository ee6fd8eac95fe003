#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/jinja/context.h"
#include "coordinator/text/jinja/value.h"

namespace layercake::jinja {

// object.name: a method, or the member of a dict, namespace or loop; else undefined.
// Errors: InvalidArgument (of something undefined).
absl::StatusOr<Value> GetAttribute(const Value& object, absl::string_view name, Context& context);

// object[key]: a list's item (from the end if negative), a text's character, a dict's member; else
// undefined. Errors: InvalidArgument (of something undefined).
absl::StatusOr<Value> GetItem(const Value& object, const Value& key, Context& context);

// object[start:stop:step] of a list or text; undefined or none bounds are left out.
// Errors: InvalidArgument (another type, a step of zero); ResourceExhausted.
absl::StatusOr<Value> GetSlice(const Value& object, const Value& start, const Value& stop,
                               const Value& step, Context& context);

// The attribute or item at a dotted path such as "function.name", as filters take it.
absl::StatusOr<Value> GetPath(const Value& object, const Value& path, Context& context);

}  // namespace layercake::jinja
