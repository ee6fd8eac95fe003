#pragma once

// The searches' tables, from the cost model.

#include <cstdint>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/search.h"

namespace layercake {

// Of a step of `sequences` sequences, on `devices` only.
struct StepTables {
  StageTimes times;
  LinkTimes links;
  std::vector<int> devices;
  bool in_order;

  SearchSpace space() const { return {times, links, devices, in_order}; }
};

// With room for `blocks` KV blocks on every stage.
//   speed: which of a device's.
StepTables TablesFor(const CostModel& cost, const DeviceSelection& selection,
                     std::vector<int> devices, int64_t blocks, int64_t sequences,
                     DeviceSpeed UsableDevice::*speed);

}  // namespace layercake
