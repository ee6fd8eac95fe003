#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/placement/arrange.h"

namespace layercake {
namespace {

std::string LayerNames(int64_t first, int64_t end) {
  return first + 1 == end ? absl::StrCat("layer ", first)
                          : absl::StrCat("layers ", first, "-", end - 1);
}

absl::StatusOr<int> DeviceOf(const v1::PlanOptions::LayerRange& range,
                             const std::vector<UsableDevice>& devices) {
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].name == range.worker()) return static_cast<int>(i);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--layers names \"", range.worker(), "\", which is no worker here or excluded"));
}

}  // namespace

absl::StatusOr<Pipeline> ManualPipeline(const CostModel& cost, const DeviceSelection& selection,
                                        const v1::PlanOptions& options) {
  std::vector<v1::PlanOptions::LayerRange> ranges(options.manual().begin(), options.manual().end());
  std::stable_sort(ranges.begin(), ranges.end(),
                   [](const auto& a, const auto& b) { return a.first_layer() < b.first_layer(); });
  const int num_layers = cost.num_layers();
  Pipeline pipeline;
  int64_t next = 0;
  std::vector<bool> used(selection.devices.size(), false);
  for (const auto& range : ranges) {
    LC_ASSIGN_OR_RETURN(const int device, DeviceOf(range, selection.devices));
    const int64_t first = range.first_layer();
    const int64_t end = first + range.num_layers();
    if (first < 0 || range.num_layers() < 1 || end > num_layers) {
      return absl::InvalidArgumentError(
          absl::StrCat("--layers gives ", range.worker(), " ", LayerNames(first, end),
                       ", but the model has layers 0-", num_layers - 1));
    }
    if (used[device]) {
      return absl::InvalidArgumentError(absl::StrCat("--layers names ", range.worker(),
                                                     " twice; a worker has one run of layers"));
    }
    if (first < next) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--layers gives ", LayerNames(first, std::min(next, end)), " to two workers"));
    }
    if (first > next) {
      return absl::InvalidArgumentError(
          absl::StrCat("--layers gives ", LayerNames(next, first), " to no worker"));
    }
    used[device] = true;
    pipeline.stages.push_back(
        {.device = device, .first = static_cast<int>(first), .count = range.num_layers()});
    next = end;
  }
  if (next == num_layers) return pipeline;
  return absl::InvalidArgumentError(
      absl::StrCat("--layers gives ", LayerNames(next, num_layers), " to no worker"));
}

}  // namespace layercake
