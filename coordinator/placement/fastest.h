#pragma once

// Policy auto: the fastest cut that fits.

#include <optional>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/search.h"

namespace layercake {

// A pipeline, and the share by which another could at most be better for the objective.
struct Arrangement {
  Pipeline pipeline;
  double gap = 0;
};

// The most tokens/s. KV room slows a plan down where it pushes layers to slow devices, and too
// little of it leaves the batch half empty: so the cut of the smallest cycle is found with room for
// many sequences, for half as many, and so on, and the one that is predicted to generate most wins;
// of equals, that of most KV blocks. The gap is that of the cycle, with as much room.
// nullopt: nothing has room for one sequence of the whole context.
std::optional<Arrangement> ForThroughput(const CostModel& cost, const DeviceSelection& selection);

// The least time of a token of one sequence alone; of equals, the most KV blocks.
std::optional<Arrangement> ForLatency(const CostModel& cost, const DeviceSelection& selection);

}  // namespace layercake
