#include "coordinator/cluster/worker_registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/rpc/duration.h"
#include "common/rpc/protocol.h"

namespace layercake {
namespace {

absl::Status CheckHello(const v1::Hello& hello) {
  if (hello.protocol_version() != kProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "worker ", hello.name(), " is version ", hello.version(), " (protocol ",
        hello.protocol_version(), "), this coordinator is version ", kVersion, " (protocol ",
        kProtocolVersion, "); install the same version of LayerCake on both"));
  }
  if (hello.name().empty()) return absl::InvalidArgumentError("a worker needs a name (--name)");
  if (hello.address().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker ", hello.name(), " gave no address (--listen, --advertise)"));
  }
  if (hello.device().kind() == v1::DEVICE_KIND_UNSPECIFIED) {
    return absl::InvalidArgumentError(absl::StrCat("worker ", hello.name(), " gave no device"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint64_t> WorkerRegistry::Join(const v1::Hello& hello) {
  if (absl::Status status = CheckHello(hello); !status.ok()) return status;
  uint64_t session = 0;
  {
    MutexLock lock(mutex_);
    const auto it = workers_.find(hello.name());
    if (it != workers_.end() && it->second.alive) {
      return absl::AlreadyExistsError(absl::StrCat("a worker named ", hello.name(), " at ",
                                                   it->second.hello.address(),
                                                   " is in the cluster; choose another --name"));
    }
    session = next_session_++;
    WorkerInfo info;
    info.hello = hello;
    info.heartbeat.set_free_bytes(hello.device().free_bytes());
    info.session = session;
    info.last_seen = clock_->Now();
    workers_[hello.name()] = std::move(info);
  }
  LOG(INFO) << "worker " << hello.name() << " joined from " << hello.address() << ": "
            << hello.device().name();
  NotifyChange();
  return session;
}

WorkerInfo* WorkerRegistry::Find(uint64_t session) {
  for (auto& [name, worker] : workers_) {
    if (worker.session == session && worker.alive) return &worker;
  }
  return nullptr;
}

bool WorkerRegistry::Beat(uint64_t session, const v1::Heartbeat& heartbeat) {
  {
    MutexLock lock(mutex_);
    WorkerInfo* worker = Find(session);
    if (worker == nullptr) return false;
    worker->last_seen = clock_->Now();
    worker->heartbeat = heartbeat;
  }
  if (heartbeat.leaving()) {
    Lose(session, "it was stopped");
  } else if (!heartbeat.failure().empty()) {
    Lose(session, absl::StrCat("its device failed: ", heartbeat.failure()));
  } else {
    return true;
  }
  return false;
}

void WorkerRegistry::Lose(uint64_t session, absl::string_view reason) {
  {
    MutexLock lock(mutex_);
    WorkerInfo* worker = Find(session);
    if (worker == nullptr) return;
    worker->alive = false;
    worker->lost_reason = std::string(reason);
    if (worker->heartbeat.leaving()) {
      LOG(INFO) << "worker " << worker->hello.name() << " left";
    } else {
      LOG(WARNING) << "worker " << worker->hello.name() << " is lost: " << reason;
    }
  }
  NotifyChange();
}

std::vector<uint64_t> WorkerRegistry::LoseSilent() {
  std::vector<std::pair<uint64_t, std::string>> silent;
  {
    MutexLock lock(mutex_);
    const absl::Time now = clock_->Now();
    for (const auto& [name, worker] : workers_) {
      if (!worker.alive) continue;
      const absl::Duration step = FromProto(worker.heartbeat.step_running());
      if (now - worker.last_seen > options_.heartbeat_timeout) {
        silent.emplace_back(worker.session,
                            absl::StrCat("no heartbeat for ",
                                         absl::FormatDuration(options_.heartbeat_timeout)));
      } else if (step > options_.step_timeout) {
        silent.emplace_back(worker.session, absl::StrCat("one step has been computing for ",
                                                         absl::FormatDuration(step)));
      }
    }
  }
  std::vector<uint64_t> sessions;
  for (const auto& [session, reason] : silent) {
    Lose(session, reason);
    sessions.push_back(session);
  }
  return sessions;
}

std::vector<WorkerInfo> WorkerRegistry::Snapshot() const {
  MutexLock lock(mutex_);
  std::vector<WorkerInfo> snapshot;
  for (const auto& [name, worker] : workers_) snapshot.push_back(worker);
  return snapshot;
}

int WorkerRegistry::num_alive() const {
  MutexLock lock(mutex_);
  int alive = 0;
  for (const auto& [name, worker] : workers_) alive += worker.alive ? 1 : 0;
  return alive;
}

}  // namespace layercake
