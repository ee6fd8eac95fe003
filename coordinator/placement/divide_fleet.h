#pragma once

// Divides many devices over several pipelines.

#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/search.h"

namespace layercake {

struct FleetDivision {
  std::vector<Pipeline> pipelines;  // disjoint, those that generate most first; none: none found
  double tokens_per_second = 0;     // predicted of all together
  // No division into as many pipelines as are wanted generates more, each with any number of
  // sequences in flight.
  double bound = 0;
};

// REQUIRES: at least three layers, devices in any order.
//   wanted: pipelines; 0: as many as generate most, but for those that add next to nothing.
FleetDivision DivideFleet(const CostModel& cost, const DeviceSelection& selection, int wanted);

}  // namespace layercake
