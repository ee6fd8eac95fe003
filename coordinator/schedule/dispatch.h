#pragma once

// Divides requests over the replicas of the pipeline.

#include <cstddef>
#include <cstdint>
#include <span>

#include "coordinator/schedule/scheduler.h"

namespace layercake {

struct DispatchTarget {
  const Scheduler* scheduler = nullptr;
  double step_seconds = 0;  // of its slowest stage, predicted; 0: not known
};

// The index of the replica that a request with this prompt should go to: where the KV blocks in
// use, those that waiting sequences will take, and those of the prompt that are not cached there
// yet come to the least, each block weighed with the replica's time per step. So a prompt follows
// its prefix as far as what that saves, no further: the next one of a popular prefix makes it known
// elsewhere too. A replica where it would have to wait, for blocks or because as many sequences run
// as may, is chosen only where it would everywhere: then the one that is full the fewest times
// over, weighed likewise. One with a full queue is chosen only where all are full; of equals the
// first. Any replica can hold what one can: a plan gives each room for its whole context.
// REQUIRES: at least one target.
size_t ChooseReplica(std::span<const DispatchTarget> targets, std::span<const int32_t> prompt_ids);

}  // namespace layercake
