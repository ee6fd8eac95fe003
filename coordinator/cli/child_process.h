#pragma once

// Child processes that cannot outlive us.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace layercake {

struct ChildSpec {
  std::string name;               // for people
  std::vector<std::string> argv;  // argv[0] is the program's path
};

struct ChildExit {
  int code = 0;    // 0 where a signal ended it
  int signal = 0;  // 0 where it exited
};

// Starts a program in a process group of its own (so that a terminal's Ctrl-C is ours to hand on),
// with no signal blocked, without our LAYERCAKE_* environment (which is meant for us) but for
// LAYERCAKE_LOG_LEVEL, and killed by the kernel when the calling *thread* ends.
// Errors: NotFound (no such program, or it may not be run).
absl::StatusOr<pid_t> SpawnChild(const ChildSpec& spec);

// How the child ended, once; nullopt while it runs.
std::optional<ChildExit> PollChild(pid_t pid);

// Asks the children to end (SIGTERM), and kills those that have not after `grace`, or as soon as
// SIGINT or SIGTERM is pending for us, blocked: somebody is impatient. Returns when all are reaped.
void StopChildren(const std::vector<pid_t>& pids, absl::Duration grace);

// "exited with code 3", "was killed by signal 9 (Killed)".
std::string DescribeExit(const ChildExit& exit);

}  // namespace layercake
