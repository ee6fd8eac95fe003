#pragma once

// The best pipeline of few devices, or the best division of them over several: of all that there
// are, whatever the KV room.

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/predict.h"

namespace layercake {

// Disjoint pipelines that together generate most; those that generate most first. Each has the KV
// room that lets it generate most: for as many steps as it has stages, or for fewer of one
// sequence.
struct FewDivision {
  std::vector<RatedPipeline> pipelines;  // none: nothing fits
  // No division into a number that was allowed generates more. What one generates, but where very
  // many are about as good.
  double bound = 0;
};

// nullopt: there are more than few devices, see kMaxPairsToDivide.
//   number: of pipelines; 0: as few as come within `least_gain` of what any number generates.
// Relies on steps of more sequences taking no less time.
std::optional<FewDivision> DivideFew(const CostModel& cost, const DeviceSelection& selection,
                                     int number, double least_gain);

}  // namespace layercake
