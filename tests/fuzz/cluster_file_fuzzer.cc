// A cluster file: any bytes give a fleet that can be planned with, or a status.

#include <cstddef>
#include <cstdint>

#include "common/base/logging.h"
#include "coordinator/fleet/cluster_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto fleet = layercake::ParseClusterFile(text, "fuzz");
  if (!fleet.ok()) {
    CHECK(absl::IsInvalidArgument(fleet.status())) << fleet.status();
    return 0;
  }
  CHECK(!fleet->devices.empty());
  for (const layercake::PlannerDevice& device : fleet->devices) {
    CHECK(!device.name.empty() && !device.host.empty());
    CHECK_GT(device.device.free_bytes(), 0u);
    CHECK_LE(device.device.free_bytes(), device.device.total_bytes());
  }
  for (const layercake::v1::Link& link : fleet->links) {
    CHECK_GT(link.bandwidth_bytes_per_second(), 0);
    CHECK_GE(link.latency_seconds(), 0);
  }
  return 0;
}
