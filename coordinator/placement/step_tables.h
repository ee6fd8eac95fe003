#pragma once

// The searches' tables, from the cost model.

#include <cstdint>
#include <map>
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

// Tables for searches that ask for the same steps over and over, of other devices and other room.
class StepTableCache {
 public:
  // Both must outlive this.
  StepTableCache(const CostModel& cost, const DeviceSelection& selection,
                 DeviceSpeed UsableDevice::*speed)
      : cost_(cost), selection_(selection), speed_(speed) {}

  // Of a step of `sequences` sequences, with room for that many in flight, and for the context;
  // valid until the next call.
  SearchSpace For(const std::vector<int>& devices, int64_t in_flight, int64_t sequences);

 private:
  struct Limited {
    StepTables tables;
    int64_t blocks;
  };

  const CostModel& cost_;
  const DeviceSelection& selection_;
  DeviceSpeed UsableDevice::*const speed_;
  std::map<int64_t, Limited> known_;  // by sequences
};

}  // namespace layercake
