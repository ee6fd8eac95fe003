#include "coordinator/placement/equal_groups.h"

#include <algorithm>
#include <map>

namespace layercake {

EqualGroups GroupEqualPorts(const DeviceClasses& classes, const LinkTimes& links,
                            size_t group_devices) {
  // Of each port its devices by class; then of each kind of port, by its classes, the ports.
  std::map<int, std::vector<int>> by_port;
  const int num_devices = links.num_devices();
  for (int device = 0; device < num_devices; ++device) {
    by_port[links.port(device)].push_back(device);
  }
  std::map<std::vector<int>, std::vector<std::vector<int>>> kinds;
  for (auto& [port, devices] : by_port) {
    std::ranges::stable_sort(devices, {}, [&](int device) { return classes.class_of(device); });
    std::vector<int> of_classes;
    for (const int device : devices) of_classes.push_back(classes.class_of(device));
    kinds[of_classes].push_back(devices);
  }
  EqualGroups equal;
  equal.groups.resize(std::max<size_t>(1, num_devices / group_devices));
  for (const auto& [of_classes, ports] : kinds) {
    const size_t each = ports.size() / equal.groups.size();
    for (size_t i = 0; i < ports.size(); ++i) {
      std::vector<int>& to =
          i < each * equal.groups.size() ? equal.groups[i % equal.groups.size()] : equal.rest;
      to.insert(to.end(), ports[i].begin(), ports[i].end());
    }
  }
  if (equal.groups[0].empty()) equal.groups.clear();
  return equal;
}

}  // namespace layercake
