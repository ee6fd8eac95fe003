#pragma once

// What one pipeline of many devices can generate at most, whatever its KV room.

#include <cstdint>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"

namespace layercake {

struct PipelineBound {
  // KV room for so many steps in flight of so many sequences each. The steps are as many as the
  // pipeline has stages, or where they are of one sequence, perhaps fewer.
  struct Room {
    int64_t sequences;
    int64_t steps;
    bool operator==(const Room&) const = default;
  };

  double tokens_per_second = 0;  // no pipeline generates more; 0: there is none
  std::vector<Room> rooms;       // where pipelines could come near it, the likeliest first
};

// REQUIRES: at least three layers. Devices may be in any order, and be left out.
PipelineBound BoundPipeline(const CostModel& cost, const DeviceSelection& selection);

}  // namespace layercake
