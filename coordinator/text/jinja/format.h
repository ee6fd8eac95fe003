#pragma once

#include "absl/status/statusor.h"
#include "coordinator/text/jinja/context.h"
#include "coordinator/text/jinja/value.h"

namespace layercake::jinja {

// format % values: %s, %r, %d, %i, %f, %.2f, %x and %%, without flags; `values` is a tuple, or the
// one value. Errors: InvalidArgument (another conversion, too few or too many values).
absl::StatusOr<Value> FormatPercent(const MarkedText& format, const Value& values,
                                    Context& context);

// format.format(...): {}, {0}, {name}, {{ and }}, without conversions.
// Errors: InvalidArgument.
absl::StatusOr<Value> FormatBraces(const MarkedText& format, const Arguments& arguments,
                                   Context& context);

}  // namespace layercake::jinja
