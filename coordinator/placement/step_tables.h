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

// KV room for so many steps in flight of so many sequences each. The steps are as many as the
// pipeline has stages, or where they are of one sequence, perhaps fewer.
struct KvRoom {
  int64_t sequences = 1;
  int64_t steps = 1;

  bool operator==(const KvRoom&) const = default;
};

// With room for `blocks` KV blocks on every stage.
//   speed: which of a device's.
StepTables TablesFor(const CostModel& cost, const DeviceSelection& selection,
                     std::vector<int> devices, int64_t blocks, int64_t sequences,
                     DeviceSpeed UsableDevice::*speed);

// Tables for searches that ask for the same steps over and over, of other devices and other rooms.
class StepTableCache {
 public:
  // Both must outlive this.
  StepTableCache(const CostModel& cost, const DeviceSelection& selection,
                 DeviceSpeed UsableDevice::*speed)
      : cost_(cost), selection_(selection), speed_(speed) {}

  // With that room, or as much as the context takes, if that is more; valid until the next call.
  SearchSpace For(const std::vector<int>& devices, const KvRoom& room);

  // More than this no pipeline on the devices can use.
  KvRoom MostRoom(const std::vector<int>& devices) const;

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
