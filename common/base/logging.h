#pragma once

// The only include of glog. LOG(INFO|WARNING|ERROR), CHECK for broken invariants (callers' bugs),
// never for what comes from outside: that returns absl::Status.

#include <glog/logging.h>

#include <string>

namespace layercake {

// Logs to stderr, one line per event. Call once, first thing in main.
void InitLogging(const char* program);

// Drops what is less severe than `level`: "info", "warning" or "error".
// REQUIRES: one of these.
void SetLogLevel(const std::string& level);

}  // namespace layercake
