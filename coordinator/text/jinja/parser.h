#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/jinja/ast.h"

namespace layercake::jinja {

// Parses a template. REQUIRES: `source` is valid UTF-8.
// Errors: InvalidArgument naming the line (syntax, an unknown tag, nesting beyond 100 levels).
absl::StatusOr<Block> ParseTemplate(absl::string_view source);

}  // namespace layercake::jinja
