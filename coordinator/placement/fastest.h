#pragma once

// Policy auto: the fastest cut that fits.

#include <optional>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/search.h"

namespace layercake {

// Replicas that gain less than this share are not worth the slower answers of a slow one.
inline constexpr double kLeastGain = 0.02;

// Pipelines on disjoint devices, and the share by which another choice could at most be better for
// the objective.
struct Arrangement {
  std::vector<Pipeline> replicas;
  double tokens_per_second = 0;  // for throughput
  double gap = 0;
};

// The most tokens/s, over `num_replicas` pipelines, or if that is 0 over as few as come within 2%
// of what more would give: a slow replica's requests wait long for little gain. Few devices are
// divided by DivideFew, more of them by DivideFleet, each replica with KV room of its own; one
// pipeline of many is FindFastestPipeline's. Of equals, that of most KV blocks. The gap is that of
// the tokens/s, whatever the room. nullopt: nothing has room for one sequence of the whole context.
std::optional<Arrangement> ForThroughput(const CostModel& cost, const DeviceSelection& selection,
                                         int num_replicas);

// The least time of a token of one sequence alone; of equals, the most KV blocks.
std::optional<Arrangement> ForLatency(const CostModel& cost, const DeviceSelection& selection);

}  // namespace layercake
