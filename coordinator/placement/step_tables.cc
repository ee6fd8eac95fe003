#include "coordinator/placement/step_tables.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "coordinator/placement/memory.h"

namespace layercake {
namespace {

void SetRow(const CostModel& cost, const DeviceSpeed& speed, int row, int64_t sequences,
            StageTimes& times) {
  for (int first = 0; first < cost.num_layers(); ++first) {
    for (int count = 1; first + count <= cost.num_layers(); ++count) {
      const int like = cost.FirstLike(first, count);
      times.set(row, first, count,
                like < first ? times.seconds(row, like, count)
                             : cost.DecodeSeconds(speed, first, count, sequences));
    }
  }
}

}  // namespace

StepTables TablesFor(const CostModel& cost, const DeviceSelection& selection,
                     std::vector<int> devices, int64_t blocks, int64_t sequences,
                     DeviceSpeed UsableDevice::*speed) {
  std::vector<const DeviceSpeed*> speeds;
  std::vector<int> rows(selection.devices.size(), 0);
  for (const int device : devices) {
    const DeviceSpeed& of = selection.devices[device].*speed;
    const auto found =
        std::ranges::find_if(speeds, [&of](const DeviceSpeed* other) { return *other == of; });
    rows[device] = static_cast<int>(found - speeds.begin());
    if (found == speeds.end()) speeds.push_back(&of);
  }
  StepTables tables{
      .times = StageTimes(std::move(rows), static_cast<int>(speeds.size()), cost.num_layers()),
      .links = selection.links.Times(static_cast<double>(cost.ActivationBytes(sequences))),
      .devices = std::move(devices),
      .in_order = selection.in_order};
  tables.times.set_unlike_middles(cost.unlike_middles());
  for (size_t row = 0; row < speeds.size(); ++row) {
    SetRow(cost, *speeds[row], static_cast<int>(row), sequences, tables.times);
  }
  LimitToRoom(cost, selection, blocks, tables.times);
  return tables;
}

SearchSpace StepTableCache::For(const std::vector<int>& devices, const KvRoom& room) {
  const int64_t sequences = room.sequences;
  const int64_t blocks =
      std::max(cost_.context_blocks(), sequences * room.steps * cost_.sequence_blocks());
  auto known = known_.find(sequences);
  if (known == known_.end()) {
    std::vector<int> all(selection_.devices.size());
    std::iota(all.begin(), all.end(), 0);
    StepTables tables = TablesFor(cost_, selection_, std::move(all), blocks, sequences, speed_);
    known = known_.emplace(sequences, Limited{std::move(tables), blocks}).first;
  }
  Limited& limited = known->second;
  if (limited.blocks != blocks) {
    LimitToRoom(cost_, selection_, blocks, limited.tables.times);
    limited.blocks = blocks;
  }
  limited.tables.devices = devices;
  return limited.tables.space();
}

KvRoom StepTableCache::MostRoom(const std::vector<int>& devices) const {
  return {.sequences = cost_.limits().max_batch_sequences,
          .steps = std::min<int64_t>(std::ssize(devices), cost_.num_layers())};
}

}  // namespace layercake
