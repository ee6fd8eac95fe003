#pragma once

// What one pipeline of many devices can generate at most, whatever its KV room.

#include <cstdint>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"

namespace layercake {

struct PipelineBound {
  // KV room for steps of so many sequences in each of so many stages.
  struct Room {
    int64_t sequences;
    int64_t stages;
    bool operator==(const Room&) const = default;
  };

  double tokens_per_second = 0;  // no pipeline generates more
  std::vector<Room> rooms;       // where pipelines could come near it, the likeliest first
};

// REQUIRES: at least three layers. Devices may be in any order, and be left out.
PipelineBound BoundPipeline(const CostModel& cost, const DeviceSelection& selection);

}  // namespace layercake
