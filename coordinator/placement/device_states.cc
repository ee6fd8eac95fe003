#include "coordinator/placement/device_states.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace layercake {

std::vector<std::vector<int>> InterchangeableDevices(const SearchSpace& space) {
  std::map<std::tuple<int, int, int64_t>, size_t> known;
  std::vector<std::vector<int>> kinds;
  for (const int device : space.devices) {
    const auto [found, added] = known.try_emplace(
        {space.links.port(device), space.times.row(device), space.times.room(device)},
        kinds.size());
    if (added) kinds.emplace_back();
    kinds[found->second].push_back(device);
  }
  return kinds;
}

std::optional<DeviceStates> DeviceStates::Of(const SearchSpace& space, int most, int most_of_kind) {
  DeviceStates states;
  states.in_order_ = space.in_order;
  if (space.in_order) {
    for (const int device : space.devices) states.kinds_.push_back({device});
    return states;
  }
  states.kinds_ = InterchangeableDevices(space);
  int64_t num_sets = 1;
  for (const std::vector<int>& kind : states.kinds_) {
    const int limit = std::min(static_cast<int>(kind.size()), most_of_kind);
    states.limits_.push_back(limit);
    states.stride_.push_back(static_cast<int>(num_sets));
    num_sets *= limit + 1;
    if (num_sets * states.num_kinds() > most) return std::nullopt;
  }
  states.num_sets_ = static_cast<int>(num_sets);
  states.used_.resize(num_sets);
  for (int set = 0; set < states.num_sets_; ++set) {
    for (int kind = 0; kind < states.num_kinds(); ++kind) {
      if (states.left(set, kind) < states.limits_[kind]) states.used_[set] |= uint32_t{1} << kind;
    }
  }
  return states;
}

}  // namespace layercake
