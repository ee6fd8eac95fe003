#include "coordinator/schedule/plan_options.h"

namespace layercake {

SchedulerOptions SchedulerOptionsFor(const v1::Plan& plan, int num_stages, int num_blocks,
                                     int max_waiting) {
  SchedulerOptions options;
  options.num_stages = num_stages;
  options.max_step_tokens = plan.max_step_tokens();
  options.max_batch_sequences = plan.max_batch_sequences();
  options.block_size_tokens = plan.block_size_tokens();
  options.num_blocks = num_blocks;
  options.max_context_tokens = plan.max_context_tokens();
  options.max_waiting = max_waiting;
  return options;
}

}  // namespace layercake
