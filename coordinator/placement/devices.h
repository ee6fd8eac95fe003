#pragma once

// Which devices a plan may use, in which order, and how much of their memory.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/links.h"
#include "coordinator/placement/planner.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

struct UsableDevice {
  std::string name;
  int64_t available_bytes = 0;  // min(free, caps), and its share of a host's memory
  int64_t reserve_bytes = 0;    // of those, left alone
  // All of it may go to KV: a GPU's memory, or what the operator granted. A host's free memory is
  // others' too, so a CPU worker without a cap takes only what the batch needs.
  bool may_fill = false;
  DeviceSpeed speed;
  DeviceSpeed crowded_speed;  // see CrowdedSpeeds
  double share = 1;           // of the layers, for policy proportional

  int64_t usable_bytes() const { return available_bytes - reserve_bytes; }
};

struct DeviceSelection {
  std::vector<UsableDevice> devices;
  bool in_order = false;  // a pipeline may use them only in this order, else in any
  LinkMap links;          // among `devices`
  std::vector<v1::ExcludedDevice> excluded;  // on request
};

// The speed of each while all of `devices` compute: its own, or that of a CPU worker which shares
// its host with others.
std::vector<DeviceSpeed> CrowdedSpeeds(std::span<const PlannerDevice* const> devices);

// Applies --order, --exclude, --max-memory, --reserve and --split. Devices come in `order`, else by
// name ("cpu-2" before "cpu-10").
// Errors: InvalidArgument (unknown, repeated or contradictory names, no device left, a split that
// does not match, a bad link); FailedPrecondition (no devices given).
absl::StatusOr<DeviceSelection> SelectDevices(const Fleet& fleet, const v1::PlanOptions& options);

}  // namespace layercake
