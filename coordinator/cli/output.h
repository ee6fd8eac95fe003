#pragma once

// What goes to stdout, and what a terminal can take.

#include <google/protobuf/message.h>

#include <ostream>
#include <string>

#include "absl/strings/string_view.h"
#include "coordinator/placement/plan_table.h"

namespace layercake {

// `message` as protobuf JSON, default values included, ending in a newline.
std::string ToJson(const google::protobuf::Message& message);

// `bytes` in double quotes, control characters escaped, and all but ASCII too where it is no UTF-8
// (half a character, say).
std::string Quote(absl::string_view bytes);

bool IsTerminal(int file_descriptor);
// What stdout can show: its terminal's width, else 100 columns; blocks on a terminal of a UTF-8
// locale; colours on a terminal unless NO_COLOR is set or TERM is "dumb".
PlanStyle StyleOfStdout();
// Columns of the terminal on stdout; 100 where there is none.
int TerminalWidth();

// An absolute path for what exists on this host; anything else is left for the coordinator's host.
std::string ModelPath(const std::string& model_dir);

}  // namespace layercake
