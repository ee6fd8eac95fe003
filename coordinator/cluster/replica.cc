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

absl::Status Replica::CheckProgress(absl::Time now, absl::Duration patience) {
  const std::vector<StageStats> stats = pipeline->stats();
  uint64_t done = 0, waiting = 0;
  for (const StageStats& stage : stats) {
    done += stage.steps;
    waiting += stage.waiting;
  }
  if (std::exchange(activity_, 2 * done + waiting) != 2 * done + waiting || waiting == 0) {
    progress_at_ = now;
  }
  if (now - progress_at_ <= patience) return absl::OkStatus();
  size_t next = 1;
  while (next < stats.size() && stats[next].waiting <= stats[next - 1].waiting) ++next;
  const std::string where =
      next < stats.size() ? absl::StrCat("nothing has come from worker ", stages[next - 1].worker,
                                         " to worker ", stages[next].worker)
                          : absl::StrCat("worker ", stages[0].worker, " has taken no step");
  return absl::UnavailableError(absl::StrCat(where, " for ", absl::FormatDuration(patience),
                                             ", though both live; the network may be cut"));
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
