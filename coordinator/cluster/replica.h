#pragma once

// One copy of the pipeline as the controller keeps it.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/cluster/pipeline.h"
#include "coordinator/cluster/stage_loader.h"
#include "coordinator/cluster/worker_registry.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// It lives as long as its epoch: on the workers of its plan, in the sessions they had when it was
// made.
struct Replica {
  // REQUIRES: every worker of `plan` is among `workers`.
  Replica(uint64_t epoch, v1::Plan plan, const std::vector<WorkerInfo>& workers);

  int number() const { return plan.stages(0).replica(); }
  // Unavailable, naming the worker, unless all of them live in the same sessions.
  absl::Status WorkerHealth(const std::vector<WorkerInfo>& workers) const;
  // Unavailable, naming where, if steps wait and no stage has ended one for longer than `patience`.
  // REQUIRES: the pipeline is open; called now and then.
  absl::Status CheckProgress(absl::Time now, absl::Duration patience);
  // Of those that live; the others have nothing to free.
  std::vector<std::string> LiveAddresses(const std::vector<WorkerInfo>& workers) const;

  uint64_t epoch = 0;
  v1::Plan plan;                             // its own stages alone
  std::vector<Pipeline::Stage> stages;       // where they are
  std::map<std::string, uint64_t> sessions;  // by worker
  std::unique_ptr<Pipeline> pipeline;        // null while it loads
  absl::Status broken;                       // why the pipeline broke

 private:
  uint64_t activity_ = 0;   // steps submitted and steps done, when it was last looked at
  absl::Time progress_at_;  // when it was last seen to grow, or no step to wait
};

}  // namespace layercake
