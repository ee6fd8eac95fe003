#include "coordinator/cluster/replica_set.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/logging.h"
#include "common/rpc/duration.h"
#include "coordinator/cluster/replica_plans.h"

namespace layercake {
namespace {

// Together well under the second within which clients hear of a death, even on a busy host.
constexpr int kNamingTries = 30;
constexpr absl::Duration kNamingPause = absl::Milliseconds(10);
// Who computes a step for longer than one is hung by itself. Another one is for its activations to
// get there.
constexpr int kStepTimeouts = 2;

void Describe(const WorkerInfo& worker, absl::Time now, v1::WorkerStatus* out) {
  out->set_name(worker.hello.name());
  out->set_address(worker.hello.address());
  out->set_host(worker.hello.host());
  out->set_version(worker.hello.version());
  *out->mutable_device() = worker.hello.device();
  out->mutable_device()->set_free_bytes(worker.heartbeat.free_bytes());
  *out->mutable_profile() = worker.hello.profile();
  out->set_stage_bytes(worker.heartbeat.stage_bytes());
  *out->mutable_last_heartbeat_ago() = ToProto(now - worker.last_seen);
  out->set_detail(worker.lost_reason);
  out->set_state(worker.alive ? v1::WORKER_STATE_IDLE : v1::WORKER_STATE_LOST);
}

}  // namespace

ReplicaSet::ReplicaSet(const WorkerRegistry& registry, ServingListener& listener,
                       uint64_t first_epoch, Callbacks callbacks)
    : registry_(registry),
      listener_(listener),
      callbacks_(std::move(callbacks)),
      epoch_(first_epoch) {}

absl::Status ReplicaSet::Load(const std::shared_ptr<const ServedModel>& model, const v1::Plan& plan,
                              const std::function<bool()>& cancelled,
                              const std::function<void(const StageProgress&)>& on_progress) {
  const std::vector<Replica*> replicas = Add(plan);
  std::vector<LoadJob> loads;
  for (const Replica* replica : replicas) {
    LoadJob& load = loads.emplace_back();
    load.epoch = replica->epoch;
    load.model_dir = model->checkpoint->directory();
    load.fingerprint = model->checkpoint->fingerprint();
    load.plan = replica->plan;
    for (const Pipeline::Stage& stage : replica->stages) load.addresses.push_back(stage.address);
  }
  absl::Status lost;
  const auto give_up = [&] {
    RetireLost();
    for (const Replica* replica : replicas) lost.Update(Health(*replica));
    return !lost.ok() || cancelled();
  };
  const absl::Status status = LoadStages(loads, give_up, on_progress);
  if (!status.ok()) {
    MutexLock lock(mutex_);
    std::erase_if(replicas_, [](const auto& replica) { return replica->pipeline == nullptr; });
    return absl::IsCancelled(status) && !lost.ok() ? lost : status;
  }
  for (size_t i = 0; i < replicas.size(); ++i) {
    {
      MutexLock lock(mutex_);
      replicas[i]->plan = std::move(loads[i].plan);
    }
    Open(*replicas[i], model);
  }
  return absl::OkStatus();
}

std::vector<Replica*> ReplicaSet::Add(const v1::Plan& plan) {
  const std::vector<WorkerInfo> workers = registry_.Snapshot();
  for (const WorkerInfo& worker : workers) epoch_ = std::max(epoch_, worker.hello.epoch());
  std::vector<Replica*> added;
  MutexLock lock(mutex_);
  for (v1::Plan& part : SplitReplicas(plan)) {
    replicas_.push_back(std::make_unique<Replica>(++epoch_, std::move(part), workers));
    added.push_back(replicas_.back().get());
  }
  return added;
}

void ReplicaSet::Open(Replica& replica, const std::shared_ptr<const ServedModel>& model) {
  const uint64_t epoch = replica.epoch;
  auto pipeline = Pipeline::Open(
      replica.stages,
      {.on_result =
           [this, epoch](const v1::StepResult& result) {
             if (absl::Status status = listener_.OnResult(epoch, result); !status.ok()) {
               Break(epoch, status);
             }
           },
       .on_broken = [this, epoch](const absl::Status& reason) { Break(epoch, reason); }});
  {
    MutexLock lock(mutex_);
    replica.pipeline = std::move(pipeline);
  }
  listener_.OnReady(epoch, model, replica.plan, *replica.pipeline);
  LOG(INFO) << model->name << ": replica " << replica.number() << " serves on "
            << replica.stages.size() << " worker(s), epoch " << epoch;
}

void ReplicaSet::Break(uint64_t epoch, const absl::Status& reason) {
  {
    MutexLock lock(mutex_);
    for (const auto& replica : replicas_) {
      if (replica->epoch == epoch) replica->broken = reason;
    }
  }
  callbacks_.on_broken();
}

// OK while every worker of the replica lives and its streams are whole.
absl::Status ReplicaSet::Health(const Replica& replica) const {
  absl::Status broken;
  for (int i = 0; i < kNamingTries; ++i) {
    if (absl::Status health = replica.WorkerHealth(registry_.Snapshot()); !health.ok()) {
      return health;
    }
    {
      MutexLock lock(mutex_);
      broken = replica.broken;
    }
    if (broken.ok()) return broken;
    // A dying worker breaks its neighbours' streams too, perhaps sooner than its own: give the
    // registry a moment to say whose death it was.
    absl::SleepFor(kNamingPause);
  }
  return broken;
}

bool ReplicaSet::IsHealthy() const {
  return std::ranges::all_of(replicas_, [this](const auto& r) { return Health(*r).ok(); });
}

void ReplicaSet::RetireLost() {
  std::vector<Loss> losses;
  for (const auto& replica : replicas_) {
    if (replica->pipeline == nullptr) continue;
    absl::Status health = Health(*replica);
    health.Update(
        replica->CheckProgress(registry_.Now(), kStepTimeouts * registry_.options().step_timeout));
    if (health.ok()) continue;
    losses.push_back({replica.get(), absl::UnavailableError(health.message())});
    LOG(INFO) << "epoch " << replica->epoch << " ends: " << health;
    callbacks_.on_lost(losses.back().reason);
  }
  Retire(losses, /*unload=*/true);
}

void ReplicaSet::RetireAll(const absl::Status& reason, bool unload) {
  std::vector<Loss> losses;
  for (const auto& replica : replicas_) losses.push_back({replica.get(), reason});
  Retire(losses, unload);
}

// The clients of all of them hear of it before anything that could take time.
void ReplicaSet::Retire(const std::vector<Loss>& losses, bool unload) {
  std::vector<std::unique_ptr<Replica>> retired;
  for (const Loss& loss : losses) {
    MutexLock lock(mutex_);
    const auto it = std::ranges::find(replicas_, loss.replica, &std::unique_ptr<Replica>::get);
    retired.push_back(std::move(*it));
    replicas_.erase(it);
  }
  for (size_t i = 0; i < losses.size(); ++i) {
    listener_.OnStopped(retired[i]->epoch, losses[i].reason);
  }
  for (const auto& replica : retired) {
    replica->pipeline = nullptr;  // no callback of its epoch after this
    if (unload) UnloadStages(replica->LiveAddresses(registry_.Snapshot()));
  }
}

std::vector<WorkerInfo> ReplicaSet::FreeWorkers() const {
  std::vector<WorkerInfo> workers = registry_.Snapshot();
  std::erase_if(workers, [this](const WorkerInfo& worker) {
    return !worker.alive || std::ranges::any_of(replicas_, [&worker](const auto& replica) {
      return replica->sessions.contains(worker.hello.name());
    });
  });
  return workers;
}

int ReplicaSet::FreeNumber() const {
  int number = 0;
  while (std::ranges::any_of(replicas_, [&](const auto& r) { return r->number() == number; })) {
    ++number;
  }
  return number;
}

v1::Plan ReplicaSet::plan() const {
  MutexLock lock(mutex_);
  return PlanOfAll();
}

v1::Plan ReplicaSet::PlanOfAll() const {
  std::vector<v1::Plan> plans;
  for (const auto& replica : replicas_) plans.push_back(replica->plan);
  return JoinReplicas(plans);
}

void ReplicaSet::FillStatus(absl::Time now, v1::ClusterStatus* status) const {
  MutexLock lock(mutex_);
  for (const auto& replica : replicas_) {
    const bool ready = replica->pipeline != nullptr;
    if (status->state() != v1::SERVING_STATE_READY) {
      status->set_state(ready ? v1::SERVING_STATE_READY : v1::SERVING_STATE_LOADING);
    }
    status->set_epoch(std::max(status->epoch(), replica->epoch));
    v1::ReplicaStatus* out = status->add_replicas();
    out->set_replica(replica->number());
    out->set_epoch(replica->epoch);
    out->set_ready(ready);
  }
  if (!replicas_.empty()) *status->mutable_plan() = PlanOfAll();
  for (const WorkerInfo& worker : registry_.Snapshot()) {
    v1::WorkerStatus* out = status->add_workers();
    Describe(worker, now, out);
    if (worker.alive) FillStage(worker.hello.name(), out);
  }
}

void ReplicaSet::FillStage(const std::string& worker, v1::WorkerStatus* out) const {
  for (const auto& replica : replicas_) {
    const auto stage = std::ranges::find(replica->stages, worker, &Pipeline::Stage::worker);
    if (stage == replica->stages.end()) continue;
    out->set_state(v1::WORKER_STATE_LOADING);
    if (replica->pipeline == nullptr) continue;
    out->set_state(v1::WORKER_STATE_READY);
    const StageStats stats = replica->pipeline->stats()[stage - replica->stages.begin()];
    out->set_steps(stats.steps);
    out->set_compute_seconds(absl::ToDoubleSeconds(stats.compute));
  }
}

}  // namespace layercake
