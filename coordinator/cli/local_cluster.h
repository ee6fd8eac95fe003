#pragma once

// Which programs `layercake serve` starts on this host, with which command lines. Pure.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/cli/child_process.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

struct LocalClusterOptions {
  std::string program_dir;  // where layercake-coordinator and layercake-worker lie
  std::string listen = "127.0.0.1:50051";
  std::string port_file;
  int max_queue = 0;                 // 0: the coordinator's default
  std::vector<std::string> devices;  // as --device takes, one worker each; empty: CPU workers
  int cpu_workers = 0;               // 0: as many as `memory` or `threads` name, else 1
  std::vector<std::string> memory;   // caps, one per worker or one for all; empty: none
  std::vector<int> threads;          // likewise; empty: the cores divided, among CPU workers if any
  std::string transport;             // --transport of the workers; empty: their default
  int num_cores = 1;
  std::string log_level = "warning";  // of the programs started
};

ChildSpec CoordinatorSpec(const LocalClusterOptions& options);

// One worker per device: "cuda-0" for cuda:0, "cpu-0" for the first CPU worker. `coordinator` is
// the address to join. Errors: InvalidArgument (lists of lengths that do not match, a size that is
// none, a card twice).
absl::StatusOr<std::vector<ChildSpec>> WorkerSpecs(const LocalClusterOptions& options,
                                                   const std::string& coordinator);

// The devices of `list` that serve: every GPU that can be used. `say` is told of those that cannot.
std::vector<std::string> UsableGpus(const v1::DeviceList& list,
                                    const std::function<void(const std::string&)>& say);

// Where a program on this host reaches a server that listens on `listen` and got `port`:
// "0.0.0.0:0" becomes "127.0.0.1:<port>".
std::string LocalAddress(const std::string& listen, int port);

}  // namespace layercake
