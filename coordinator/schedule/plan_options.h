#pragma once

// A scheduler for the pipeline that a plan describes: the same for serving and for simulating it.

#include "coordinator/schedule/scheduler.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Options for one replica of `plan`, of `num_stages` stages and `num_blocks` KV blocks; at most
// `max_waiting` sequences wait.
SchedulerOptions SchedulerOptionsFor(const v1::Plan& plan, int num_stages, int num_blocks,
                                     int max_waiting);

}  // namespace layercake
