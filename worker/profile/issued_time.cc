#include "worker/profile/issued_time.h"

#include <algorithm>
#include <optional>

#include "worker/device/cuda_graphs.h"
#include "worker/profile/stopwatch.h"

namespace layercake {

double TimeIssued(Device& device, absl::Duration patience, Issued how, int64_t round,
                  absl::FunctionRef<void()> work) {
  const BusyClock clock = BusyClock::Of(device);
  if (device.kind() == DeviceKind::kCpu) {
    return TimeRepeated(clock, patience, work).typical_seconds;
  }
  constexpr int kAtOnce = 16;
  const auto issue = [&] {
    for (int i = 0; i < kAtOnce; ++i) work();
  };
  std::optional<CudaGraphs> graphs;
  if (how == Issued::kReplayed && AsCuda(device).use_graphs()) graphs.emplace(AsCuda(device));
  // What is replayed is about what it was recorded with, so a round takes several graphs.
  const int64_t parts = std::max<int64_t>(1, round / kAtOnce);
  int64_t part = 0;
  const auto run = [&] {
    graphs.has_value() ? graphs->Run(part++ % parts, issue) : issue();
    (void)device.Finish();
  };
  for (int64_t i = 0; i < (graphs.has_value() ? 2 * parts : 1); ++i) run();
  return TimeRepeated(clock, patience, run).typical_seconds / kAtOnce;
}

}  // namespace layercake
