#pragma once

// Cuts a model's layers into pipeline stages that fit each device's free memory and suit its
// measured speed. Pure: no I/O, no clock, no threads; the same input gives the same plan, in
// whatever order the devices are listed.

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/model/config.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// A worker as the planner sees it. CPU workers of one `host` share that host's free memory.
struct PlannerDevice {
  std::string name;  // unique in the cluster
  std::string host;
  v1::Device device;
  v1::DeviceProfile profile;  // zeros: unknown, and a modest guess is made
};

// All that could serve the model, and how the devices reach each other. Links that are not listed
// are guessed: modestly within a host, more so between hosts.
struct Fleet {
  Fleet() = default;
  Fleet(std::vector<PlannerDevice> devices, std::vector<v1::Link> links = {})  // NOLINT: implicit
      : devices(std::move(devices)), links(std::move(links)) {}

  std::vector<PlannerDevice> devices;
  std::vector<v1::Link> links;
};

// Plans `checkpoint` (called `model_name` in the plan) on `fleet` as `asked`: workers go by name or
// by the UUID of their GPU, weights are held as asked.weight_type says.
//
// Every stage's weights, KV, workspace and reserve fit min(free, cap, --max-memory) of its device;
// there is room in the KV blocks for at least one sequence of the plan's context, on every stage.
// With context_tokens 0 the context is the model's own or, where that does not fit, the
// largest that does.
//
// Errors:
//   InvalidArgument     options that contradict each other, name unknown workers or leave none; a
//                       manual assignment that is no partition of the layers.
//   ResourceExhausted   it does not fit: by how many bytes, where, and which change would help.
//   FailedPrecondition  no devices at all.
absl::StatusOr<v1::Plan> MakePlan(const ModelConfig& checkpoint, const Fleet& fleet,
                                  const v1::PlanOptions& asked, absl::string_view model_name);

}  // namespace layercake
