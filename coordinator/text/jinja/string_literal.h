#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace layercake::jinja {

// What the inside of a quoted literal stands for, by Python's rules: \n, \t, \\, \', \", \ooo,
// \xhh, \uhhhh, \Uhhhhhhhh and so on; an unknown escape stands for itself.
// Errors: InvalidArgument (an escape that is not a character), naming the line.
absl::StatusOr<std::string> UnescapeString(absl::string_view text, int line);

// `text` quoted as Python's repr() does.
std::string Quote(absl::string_view text);

}  // namespace layercake::jinja
