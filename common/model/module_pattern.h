#pragma once

// Names of modules as quantization configs leave them out of quantization.

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace layercake {

// A pattern is a name, or after "re:" a regular expression of literals, escaped characters, ".",
// ".*", "(a|b)" of literals, and "$" at its end: what quantizers write. Others are refused rather
// than guessed, and run in time linear in pattern times name.
// Errors: Unimplemented (names the pattern).
absl::Status CheckModulePattern(absl::string_view pattern);

// Whether `module` ("model.layers.3.mlp.gate_proj") is left out by `pattern`: the name is a run of
// whole components of it ("mlp.gate_proj", not "mlp.gate"); the expression matches from its start.
// REQUIRES: CheckModulePattern(pattern).ok().
bool MatchesModule(absl::string_view pattern, absl::string_view module);

}  // namespace layercake
