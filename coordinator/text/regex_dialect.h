#pragma once

// From Oniguruma's Ruby syntax to PCRE2's.

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace layercake {

// The PCRE2 pattern (for UTF and UCP modes) that means what `pattern` means to Oniguruma.
// Errors: Unimplemented naming the construct: nested or intersected character classes, an interval
// followed by '+' (possessive in one dialect, repeated in the other).
absl::StatusOr<std::string> TranslateRegexDialect(absl::string_view pattern);

}  // namespace layercake
