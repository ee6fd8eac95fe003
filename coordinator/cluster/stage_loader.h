#pragma once

// Carries plans out: every worker of every replica loads its stage, all at once.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/model/checkpoint.h"
#include "layercake/v1/admin.pb.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// One replica's load.
struct LoadJob {
  uint64_t epoch = 0;
  std::string model_dir;
  uint64_t fingerprint = 0;
  v1::Plan plan;
  std::vector<std::string> addresses;  // of the plan's stages
};

using StageProgress = std::vector<v1::LoadModelProgress::Stage>;

// Blocks until every stage of every job is loaded, one failed, or `cancelled` says so. Then the
// jobs' plans say over which link each stage hands on, and why; on failure the stages that did load
// are unloaded again.
//   cancelled: polled from this thread, without locks held.
//   on_progress: called from several threads, one at a time, with all stages' progress.
// Errors: the first stage's own, naming its worker; Cancelled.
absl::Status LoadStages(std::vector<LoadJob>& jobs, const std::function<bool()>& cancelled,
                        const std::function<void(const StageProgress&)>& on_progress);

// Frees the stages at `addresses`; those that cannot be reached are skipped.
void UnloadStages(const std::vector<std::string>& addresses);

}  // namespace layercake
