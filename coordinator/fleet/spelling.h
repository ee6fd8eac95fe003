#pragma once

// "Did you mean ...?"

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace layercake {

// "; did you mean NAME?" with the name of `known` that takes fewest edits to become `name`, or ""
// where none is near (more than a third of its letters would change).
std::string DidYouMean(absl::string_view name, const std::vector<absl::string_view>& known);

}  // namespace layercake
