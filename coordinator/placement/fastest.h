#pragma once

// Policy auto: the fastest cut that fits.

#include <optional>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/search.h"

namespace layercake {

// Pipelines on disjoint devices, and the share by which another choice could at most be better for
// the objective.
struct Arrangement {
  std::vector<Pipeline> replicas;
  double tokens_per_second = 0;  // for throughput
  double gap = 0;
};

// The most tokens/s, over `num_replicas` pipelines, or if that is 0 over as few as come within 5%
// of what more would give: a slow replica's requests wait long for little gain.
//
// KV room slows a plan down where it pushes layers to slow devices, and too little of it leaves the
// batch half empty: so the cut of the smallest cycle is found with room for a full batch in each of
// as many stages as there may be, of half as many, and so on, for half the batch, and so on, and
// about the best of these for every number of sequences (of up to eight devices for every number of
// both); of many devices, where BoundPipeline says that it could come near the bound; the one that
// is predicted to generate most wins; of equals, that of most KV blocks. Fleets too large to try
// every division are divided by DivideFleet, each replica with room of its own. The gap is that of
// the tokens/s, whatever the room; in a given order, that of the cycle with as much room. nullopt:
// nothing has room for one sequence of the whole context.
std::optional<Arrangement> ForThroughput(const CostModel& cost, const DeviceSelection& selection,
                                         int num_replicas);

// The least time of a token of one sequence alone; of equals, the most KV blocks.
std::optional<Arrangement> ForLatency(const CostModel& cost, const DeviceSelection& selection);

}  // namespace layercake
