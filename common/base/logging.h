#pragma once

// The only include of glog. LOG(INFO|WARNING|ERROR), CHECK for broken invariants (callers' bugs),
// never for what comes from outside: that returns absl::Status.

#include <glog/logging.h>

namespace layercake {

// Logs to stderr, one line per event. Call once, first thing in main.
void InitLogging(const char* program);

}  // namespace layercake
