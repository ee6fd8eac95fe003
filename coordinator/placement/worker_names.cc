#include "coordinator/placement/worker_names.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

absl::StatusOr<std::string> NameOf(const Fleet& fleet, const std::string& name) {
  if (!absl::StartsWithIgnoreCase(name, "GPU-") && !absl::StartsWithIgnoreCase(name, "MIG-")) {
    return name;
  }
  std::vector<absl::string_view> workers;
  for (const PlannerDevice& device : fleet.devices) {
    if (device.name == name) return name;
    if (absl::StartsWithIgnoreCase(device.device.uuid(), name)) workers.push_back(device.name);
  }
  if (workers.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" begins the UUIDs of ", workers.size(), " workers' GPUs (",
                     absl::StrJoin(workers, ", "), "); give more of it"));
  }
  return workers.empty() ? name : std::string(workers[0]);
}

absl::Status NameWorkers(const Fleet& fleet, const char* flag,
                         google::protobuf::Map<std::string, uint64_t>& sizes) {
  google::protobuf::Map<std::string, uint64_t> named;
  for (const auto& [given, bytes] : sizes) {
    LC_ASSIGN_OR_RETURN(const std::string name, NameOf(fleet, given));
    if (named.insert({name, bytes}).second) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(flag, " names ", name, " twice, by its name and its GPU's UUID; drop one"));
  }
  sizes = std::move(named);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::PlanOptions> WithWorkerNames(const Fleet& fleet,
                                                const v1::PlanOptions& options) {
  v1::PlanOptions named = options;
  for (auto* names : {named.mutable_order(), named.mutable_exclude()}) {
    for (std::string& name : *names) {
      LC_ASSIGN_OR_RETURN(name, NameOf(fleet, name));
    }
  }
  for (v1::PlanOptions::LayerRange& range : *named.mutable_manual()) {
    LC_ASSIGN_OR_RETURN(*range.mutable_worker(), NameOf(fleet, range.worker()));
  }
  LC_RETURN_IF_ERROR(NameWorkers(fleet, "--max-memory", *named.mutable_max_memory_bytes()));
  LC_RETURN_IF_ERROR(NameWorkers(fleet, "--reserve", *named.mutable_reserve_bytes()));
  return named;
}

}  // namespace layercake
