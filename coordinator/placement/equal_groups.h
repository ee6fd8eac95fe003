#pragma once

// Large fleets of equal hosts fall into equal groups: what is good for one is good for all.

#include <vector>

#include "coordinator/placement/device_classes.h"

namespace layercake {

struct EqualGroups {
  // Of devices of whole ports; [g][i] is of the class of [0][i], and two of a port in one group are
  // of a port in all.
  std::vector<std::vector<int>> groups;
  std::vector<int> rest;  // devices of the ports that are left over
};

// Groups of about so many devices. Where few ports are equal, one group or none, and a large rest.
EqualGroups GroupEqualPorts(const DeviceClasses& classes, const LinkTimes& links,
                            size_t group_devices);

}  // namespace layercake
