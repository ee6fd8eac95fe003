#include "coordinator/cluster/replica.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace layercake {

Replica::Replica(uint64_t epoch, v1::Plan plan, const std::vector<WorkerInfo>& workers)
    : epoch(epoch), plan(std::move(plan)) {
  for (const v1::StagePlan& stage : this->plan.stages()) {
    for (const WorkerInfo& worker : workers) {
      if (worker.hello.name() != stage.worker()) continue;
      stages.push_back({stage.worker(), worker.hello.address()});
      sessions[stage.worker()] = worker.session;
    }
  }
}

absl::Status Replica::WorkerHealth(const std::vector<WorkerInfo>& workers) const {
  for (const WorkerInfo& worker : workers) {
    const auto it = sessions.find(worker.hello.name());
    if (it == sessions.end()) continue;
    if (!worker.alive) {
      return absl::UnavailableError(
          absl::StrCat("worker ", worker.hello.name(), " was lost: ", worker.lost_reason));
    }
    if (worker.session != it->second) {
      return absl::UnavailableError(absl::StrCat("worker ", worker.hello.name(), " was restarted"));
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> Replica::LiveAddresses(const std::vector<WorkerInfo>& workers) const {
  std::vector<std::string> addresses;
  for (const WorkerInfo& worker : workers) {
    const auto it = sessions.find(worker.hello.name());
    if (worker.alive && it != sessions.end() && it->second == worker.session) {
      addresses.push_back(worker.hello.address());
    }
  }
  return addresses;
}

}  // namespace layercake
