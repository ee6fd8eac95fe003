#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/jinja/context.h"
#include "coordinator/text/jinja/value.h"

namespace layercake::jinja {

using Method = absl::StatusOr<Value> (*)(const Value& self, const Arguments& arguments,
                                         Context& context);

// A method of texts; nullptr when there is none of that name.
Method FindTextMethod(absl::string_view name);

}  // namespace layercake::jinja
