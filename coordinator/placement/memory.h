#pragma once

// What fits where.

#include <cstdint>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/stage_times.h"

namespace layercake {

// KV blocks that a device can hold beside the weights and workspace of a stage; -1 when it cannot
// even hold those.
int64_t BlocksThatFit(const CostModel& cost, const UsableDevice& device, int first, int count);

// Keeps off each device the stages that have no room there for `blocks` KV blocks.
void LimitToRoom(const CostModel& cost, const DeviceSelection& selection, int64_t blocks,
                 StageTimes& times);

// Whether `num_replicas` pipelines (0: any number) have room for `blocks` KV blocks on every stage.
bool Fits(const CostModel& cost, const DeviceSelection& selection, int64_t blocks,
          int num_replicas);

}  // namespace layercake
