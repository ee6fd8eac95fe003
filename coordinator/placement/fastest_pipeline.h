#pragma once

// The one pipeline that generates most.

#include <optional>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/predict.h"

namespace layercake {

struct FastestPipeline {
  RatedPipeline rated;
  double bound = 0;  // no pipeline generates more, in tokens/s, whatever its KV room
};

// On some of `devices`: the best of each KV room that may be better than the best so far, the most
// promising rooms first.
//   least: tokens/s that are looked for.
// nullopt: none was found that generates more than `least`; with 0, nothing has room for one
// sequence of the whole context.
std::optional<FastestPipeline> FindFastestPipeline(const CostModel& cost,
                                                   const DeviceSelection& selection,
                                                   const std::vector<int>& devices,
                                                   double least = 0);

}  // namespace layercake
