#include "coordinator/schedule/dispatch.h"

#include <algorithm>
#include <utility>

namespace layercake {

size_t ChooseReplica(std::span<const DispatchTarget> targets, std::span<const int32_t> prompt_ids) {
  const bool weighed =
      std::ranges::all_of(targets, [](const auto& target) { return target.step_seconds > 0; });
  const auto cost = [&](const DispatchTarget& target) {
    const int num_blocks =
        target.scheduler->num_committed_blocks() + target.scheduler->NumNewBlocksFor(prompt_ids);
    return std::pair(target.scheduler->queue_full(),
                     num_blocks * (weighed ? target.step_seconds : 1));
  };
  size_t best = 0;
  for (size_t i = 1; i < targets.size(); ++i) {
    if (cost(targets[i]) < cost(targets[best])) best = i;
  }
  return best;
}

}  // namespace layercake
