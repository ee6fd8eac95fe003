#include "coordinator/placement/memory.h"

#include <numeric>
#include <vector>

#include "coordinator/placement/replicas.h"
#include "coordinator/placement/search.h"

namespace layercake {

int64_t BlocksThatFit(const CostModel& cost, const UsableDevice& device, int first, int count) {
  const int64_t left =
      device.usable_bytes() - cost.WeightBytes(first, count) - cost.WorkspaceBytes(first, count);
  return left < 0 ? -1 : left / cost.BlockBytes(first, count);
}

void LimitToRoom(const CostModel& cost, const DeviceSelection& selection, int64_t blocks,
                 StageTimes& times) {
  for (int first = 0; first < times.num_layers(); ++first) {
    for (int count = 1; first + count <= times.num_layers(); ++count) {
      const int like = cost.FirstLike(first, count);
      times.set_need(first, count,
                     like < first
                         ? times.need(like, count)
                         : cost.WeightBytes(first, count) + cost.WorkspaceBytes(first, count) +
                               cost.BlockBytes(first, count) * blocks);
    }
  }
  for (int device = 0; device < times.num_devices(); ++device) {
    times.set_room(device, selection.devices[device].usable_bytes());
  }
}

bool Fits(const CostModel& cost, const DeviceSelection& selection, int64_t blocks,
          int num_replicas) {
  std::vector<int> devices(selection.devices.size());
  StageTimes times(std::vector<int>(devices.size(), 0), /*num_rows=*/1, cost.num_layers());
  for (int first = 0; first < cost.num_layers(); ++first) {
    for (int count = 1; first + count <= cost.num_layers(); ++count) times.set(0, first, count, 1);
  }
  LimitToRoom(cost, selection, blocks, times);
  std::iota(devices.begin(), devices.end(), 0);
  const LinkTimes links(times.num_devices());
  const SearchSpace space{times, links, devices, selection.in_order};
  return num_replicas > 1 ? AnyDivision(space, num_replicas) : AnyPipeline(space);
}

}  // namespace layercake
