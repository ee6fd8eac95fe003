#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace layercake::jinja {

// InvalidArgument "chat template, line 7: ...".
absl::Status ErrorAt(int line, absl::string_view message);

// `status` with the line in front of its message, unless an inner one put its own there.
absl::Status WithLine(int line, const absl::Status& status);

}  // namespace layercake::jinja
