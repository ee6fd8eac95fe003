#include "coordinator/schedule/dispatch.h"

#include <algorithm>
#include <tuple>

namespace layercake {
namespace {

// How many times over what runs at once there would be with this prompt; above 1 it would wait.
double FullnessWith(const Scheduler& scheduler, int num_blocks) {
  const double sequences = scheduler.num_running() + scheduler.num_waiting() + 1;
  return std::max(static_cast<double>(num_blocks) / scheduler.num_blocks(),
                  sequences / scheduler.max_running());
}

}  // namespace

size_t ChooseReplica(std::span<const DispatchTarget> targets, std::span<const int32_t> prompt_ids) {
  const bool weighed =
      std::ranges::all_of(targets, [](const auto& target) { return target.step_seconds > 0; });
  const auto cost = [&](const DispatchTarget& target) {
    const Scheduler& scheduler = *target.scheduler;
    const int num_blocks = scheduler.num_committed_blocks() + scheduler.NumNewBlocksFor(prompt_ids);
    const double fullness = FullnessWith(scheduler, num_blocks);
    const bool waits = fullness > 1;
    return std::tuple(scheduler.queue_full(), waits,
                      (waits ? fullness : num_blocks) * (weighed ? target.step_seconds : 1));
  };
  size_t best = 0;
  for (size_t i = 1; i < targets.size(); ++i) {
    if (cost(targets[i]) < cost(targets[best])) best = i;
  }
  return best;
}

}  // namespace layercake
