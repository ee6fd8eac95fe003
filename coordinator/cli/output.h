#pragma once

// What goes to stdout, and what a terminal can take.

#include <google/protobuf/message.h>

#include <ostream>
#include <string>

namespace layercake {

// `message` as protobuf JSON, default values included, ending in a newline.
std::string ToJson(const google::protobuf::Message& message);

bool IsTerminal(int file_descriptor);
// Columns of the terminal on stdout; 100 where there is none.
int TerminalWidth();

// An absolute path for what exists on this host; anything else is left for the coordinator's host.
std::string ModelPath(const std::string& model_dir);

}  // namespace layercake
