#include "coordinator/cluster/serving_controller.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/rpc/duration.h"
#include "coordinator/cluster/stage_loader.h"
#include "coordinator/placement/planner.h"

namespace layercake {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(100);
constexpr absl::Duration kRetryDelay = absl::Seconds(1);

bool SameTarget(const v1::LoadModelRequest& a, const v1::LoadModelRequest& b) {
  return a.SerializeAsString() == b.SerializeAsString();
}

}  // namespace

struct ServingController::Job {
  Target target;
  v1::LoadModelProgress progress;
  uint64_t progress_version = 0;
  bool give_up = false;
  bool unload = false;  // the target is nothing
  bool ended = false;
  absl::Status status;
};

struct ServingController::Placement {
  uint64_t epoch = 0;
  v1::Plan plan;
  std::map<std::string, uint64_t> sessions;  // of the workers it runs on
  bool shrunk = false;  // made after a loss: worth replacing when workers return
  std::unique_ptr<Pipeline> pipeline;
};

ServingController::ServingController(WorkerRegistry& registry, ServingListener& listener,
                                     const Clock* clock)
    : registry_(registry),
      listener_(listener),
      clock_(clock),
      // A restarted coordinator's epochs are newer than any that a worker may still hold.
      epoch_(static_cast<uint64_t>(absl::ToUnixMillis(clock->Now()))) {
  registry_.OnChange([this] { Wake(); });
  thread_ = std::thread([this] { Run(); });
}

ServingController::~ServingController() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (job_ != nullptr) job_->give_up = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void ServingController::Wake() {
  MutexLock lock(mutex_);
  awake_ = true;
  changed_.NotifyAll();
}

void ServingController::Break(const absl::Status& reason) {
  MutexLock lock(mutex_);
  broken_ = reason;
  awake_ = true;
  changed_.NotifyAll();
}

void ServingController::SetState(v1::ServingState state, const std::string& detail) {
  MutexLock lock(mutex_);
  state_ = state;
  detail_ = detail;
}

absl::StatusOr<v1::Plan> ServingController::Plan(const std::string& model_dir,
                                                 const v1::PlanOptions& options) const {
  LC_ASSIGN_OR_RETURN(const auto model, ServedModel::Open(model_dir, ""));
  return PlanOverLiveWorkers(*model, options);
}

absl::StatusOr<v1::Plan> ServingController::PlanOverLiveWorkers(
    const ServedModel& model, const v1::PlanOptions& options) const {
  Fleet fleet;
  for (const WorkerInfo& worker : registry_.Snapshot()) {
    if (!worker.alive) continue;
    PlannerDevice device;
    device.name = worker.hello.name();
    device.host = worker.hello.host();
    device.device = worker.hello.device();
    // What its stage takes now will be free before the next one is loaded.
    device.device.set_free_bytes(worker.heartbeat.free_bytes() + worker.heartbeat.stage_bytes());
    device.profile = worker.hello.profile();
    fleet.devices.push_back(std::move(device));
  }
  if (fleet.devices.empty()) {
    return absl::UnavailableError(
        "no worker has joined; start layercake-worker --coordinator with this address");
  }
  return MakePlan(model.checkpoint->config(), fleet, options, model.name);
}

absl::Status ServingController::Load(
    const v1::LoadModelRequest& request, int min_workers,
    const std::function<void(const v1::LoadModelProgress&)>& on_progress,
    const std::function<bool()>& cancelled) {
  auto job = std::make_unique<Job>();
  if (request.model_dir().empty()) {
    job->unload = true;
  } else {
    LC_ASSIGN_OR_RETURN(job->target.model, ServedModel::Open(request.model_dir(), request.name()));
  }
  job->target.request = request;
  job->target.min_workers = min_workers;
  MutexLock lock(mutex_);
  if (stopping_) return absl::UnavailableError("the coordinator is stopping");
  if (job_ != nullptr) return absl::AbortedError("another load or unload runs; try again after it");
  job_ = std::move(job);
  changed_.NotifyAll();
  uint64_t seen = 0;
  while (!job_->ended) {
    changed_.WaitFor(mutex_, kPoll);
    if (cancelled()) job_->give_up = true;
    if (on_progress && std::exchange(seen, job_->progress_version) != job_->progress_version) {
      on_progress(job_->progress);
    }
  }
  const absl::Status status = job_->status;
  if (on_progress && status.ok() && !job_->unload) {
    job_->progress.set_ready(true);
    on_progress(job_->progress);
  }
  job_ = nullptr;
  return status;
}

absl::Status ServingController::Unload() {
  return Load(v1::LoadModelRequest(), 0, nullptr, [] { return false; });
}

void ServingController::Run() {
  while (true) {
    Job* job = nullptr;
    {
      MutexLock lock(mutex_);
      if (!awake_ && !stopping_ && (job_ == nullptr || job_->ended)) {
        changed_.WaitFor(mutex_, kPoll);
      }
      awake_ = false;
      if (stopping_) break;
      if (job_ != nullptr && !job_->ended) job = job_.get();
    }
    if (job != nullptr) {
      RunJob(*job);
    } else {
      Maintain();
    }
  }
  Retire(absl::UnavailableError("the coordinator is stopping"));
  MutexLock lock(mutex_);
  if (job_ != nullptr && !job_->ended) {
    job_->status = absl::UnavailableError("the coordinator is stopping");
    job_->ended = true;
    changed_.NotifyAll();
  }
}

void ServingController::RunJob(Job& job) {
  absl::Status status;
  if (job.unload) {
    Retire(absl::UnavailableError("the model was unloaded"));
    MutexLock lock(mutex_);
    target_ = Target();
  } else if (placement_ != nullptr && SameTarget(job.target.request, target_.request) &&
             PlacementHealth().ok()) {
    MutexLock lock(mutex_);
    *job.progress.mutable_plan() = placement_->plan;
  } else {
    {
      MutexLock lock(mutex_);
      while (registry_.num_alive() < job.target.min_workers && !job.give_up && !stopping_) {
        changed_.WaitFor(mutex_, kPoll);
      }
      if (job.give_up || stopping_) status = absl::CancelledError("the load was given up");
    }
    job.target.min_workers = registry_.num_alive();
    if (status.ok()) status = Place(job.target, &job);
  }
  MutexLock lock(mutex_);
  if (placement_ == nullptr && (!status.ok() || job.unload)) {
    target_ = Target();
    state_ = v1::SERVING_STATE_EMPTY;
    detail_ = std::string(status.message());
  }
  job.status = status;
  job.ended = true;
  changed_.NotifyAll();
}

absl::Status ServingController::Place(const Target& target, Job* job) {
  const bool shrunk = registry_.num_alive() < target.min_workers;
  // Refusals come before anything moves.
  LC_ASSIGN_OR_RETURN(v1::Plan plan,
                      PlanOverLiveWorkers(*target.model, target.request.options()));
  Retire(absl::UnavailableError("the model is being placed anew"));
  SetState(v1::SERVING_STATE_LOADING, absl::StrCat("loading ", target.model->name));

  auto placement = std::make_unique<Placement>();
  placement->epoch = ++epoch_;
  placement->shrunk = shrunk;
  LoadJob load;
  load.epoch = placement->epoch;
  load.model_dir = target.model->checkpoint->directory();
  load.fingerprint = target.model->checkpoint->fingerprint();
  load.plan = plan;
  std::vector<Pipeline::Stage> stages;
  const auto workers = registry_.Snapshot();
  for (const v1::StagePlan& stage : plan.stages()) {
    for (const WorkerInfo& worker : workers) {
      if (worker.hello.name() != stage.worker()) continue;
      load.addresses.push_back(worker.hello.address());
      stages.push_back({stage.worker(), worker.hello.address()});
      placement->sessions[stage.worker()] = worker.session;
    }
  }
  {
    MutexLock lock(mutex_);
    placement_ = std::move(placement);
    placement_->plan = plan;
    broken_ = absl::OkStatus();
  }
  const auto cancelled = [&] {
    MutexLock lock(mutex_);
    return stopping_ || (job != nullptr && job->give_up) || !PlacementHealth().ok();
  };
  absl::Status status = LoadStages(load, cancelled, [&](const StageProgress& progress) {
    MutexLock lock(mutex_);
    if (job == nullptr) return;
    *job->progress.mutable_plan() = plan;
    job->progress.mutable_stages()->Assign(progress.begin(), progress.end());
    ++job->progress_version;
    changed_.NotifyAll();
  });
  if (absl::IsCancelled(status)) {
    MutexLock lock(mutex_);
    if (absl::Status health = PlacementHealth(); !health.ok()) status = health;
  }
  if (!status.ok()) {
    MutexLock lock(mutex_);
    placement_ = nullptr;
    return status;
  }
  auto pipeline = Pipeline::Open(
      stages, {.on_result =
                   [this](const v1::StepResult& result) {
                     if (absl::Status status = listener_.OnResult(result); !status.ok()) {
                       Break(status);
                     }
                   },
               .on_broken = [this](const absl::Status& reason) { Break(reason); }});
  {
    MutexLock lock(mutex_);
    target_ = target;
    placement_->pipeline = std::move(pipeline);
  }
  listener_.OnReady(placement_->epoch, target.model, plan, *placement_->pipeline);
  SetState(v1::SERVING_STATE_READY, "");
  LOG(INFO) << target.model->name << " is served by " << plan.stages_size() << " worker(s), epoch "
            << placement_->epoch;
  return absl::OkStatus();
}

void ServingController::Retire(const absl::Status& reason) {
  std::unique_ptr<Placement> placement;
  {
    MutexLock lock(mutex_);
    if (placement_ == nullptr) return;
    placement = std::move(placement_);
    // Nobody must see a state that is ready without a placement.
    state_ = v1::SERVING_STATE_DEGRADED;
    detail_ = std::string(reason.message());
  }
  listener_.OnStopped(reason);
  placement->pipeline = nullptr;  // no callback of its epoch after this
  std::vector<std::string> addresses;
  for (const WorkerInfo& worker : registry_.Snapshot()) {
    const auto it = placement->sessions.find(worker.hello.name());
    if (worker.alive && it != placement->sessions.end() && it->second == worker.session) {
      addresses.push_back(worker.hello.address());
    }
  }
  UnloadStages(addresses);
}

// OK while every worker of the placement lives and its streams are whole.
absl::Status ServingController::PlacementHealth() const {
  for (const WorkerInfo& worker : registry_.Snapshot()) {
    const auto it = placement_->sessions.find(worker.hello.name());
    if (it == placement_->sessions.end()) continue;
    if (!worker.alive) {
      return absl::UnavailableError(
          absl::StrCat("worker ", worker.hello.name(), " was lost: ", worker.lost_reason));
    }
    if (worker.session != it->second) {
      return absl::UnavailableError(
          absl::StrCat("worker ", worker.hello.name(), " was restarted"));
    }
  }
  return absl::OkStatus();
}

// Whether a placement made after a loss could now use workers that it lacks.
bool ServingController::CanGrow() const {
  if (!placement_->shrunk || !listener_.IsIdle()) return false;
  for (const WorkerInfo& worker : registry_.Snapshot()) {
    if (worker.alive && !placement_->sessions.contains(worker.hello.name())) return true;
  }
  return false;
}

void ServingController::Maintain() {
  if (target_.model == nullptr) return;
  bool lost = false;
  if (placement_ != nullptr) {
    absl::Status health = PlacementHealth();
    if (health.ok()) {
      MutexLock lock(mutex_);
      // A dying worker breaks its neighbours' streams too, perhaps sooner than its own: wait a
      // moment for the registry to say whose death it was.
      for (int i = 0; i < 5 && !broken_.ok() && PlacementHealth().ok(); ++i) {
        changed_.WaitFor(mutex_, absl::Milliseconds(10));
      }
      health = PlacementHealth();
      if (health.ok()) health = broken_;
    }
    if (health.ok() && !CanGrow()) return;
    if (!health.ok()) {
      lost = true;
      LOG(INFO) << "epoch " << placement_->epoch << " ends: " << health;
      Retire(absl::UnavailableError(health.message()));
      SetState(v1::SERVING_STATE_DEGRADED, std::string(health.message()));
      retry_at_ = clock_->Now();
    }
  }
  if (!lost && placement_ == nullptr && clock_->Now() < retry_at_) return;
  const absl::Status status = Place(target_, nullptr);
  if (!status.ok() && placement_ == nullptr) {
    SetState(v1::SERVING_STATE_DEGRADED, std::string(status.message()));
    retry_at_ = clock_->Now() + kRetryDelay;
  }
}

void ServingController::FillStatus(v1::ClusterStatus* status) const {
  MutexLock lock(mutex_);
  status->set_state(state_);
  status->set_detail(detail_);
  if (target_.model != nullptr) status->set_model(target_.model->name);
  std::vector<StageStats> stats;
  if (placement_ != nullptr) {
    status->set_epoch(placement_->epoch);
    *status->mutable_plan() = placement_->plan;
    if (placement_->pipeline != nullptr) stats = placement_->pipeline->stats();
  }
  for (const WorkerInfo& worker : registry_.Snapshot()) {
    v1::WorkerStatus* out = status->add_workers();
    out->set_name(worker.hello.name());
    out->set_address(worker.hello.address());
    out->set_host(worker.hello.host());
    out->set_version(worker.hello.version());
    *out->mutable_device() = worker.hello.device();
    out->mutable_device()->set_free_bytes(worker.heartbeat.free_bytes());
    *out->mutable_profile() = worker.hello.profile();
    out->set_stage_bytes(worker.heartbeat.stage_bytes());
    *out->mutable_last_heartbeat_ago() = ToProto(clock_->Now() - worker.last_seen);
    out->set_detail(worker.lost_reason);
    out->set_state(worker.alive ? v1::WORKER_STATE_IDLE : v1::WORKER_STATE_LOST);
    for (int i = 0; placement_ != nullptr && i < placement_->plan.stages_size(); ++i) {
      if (!worker.alive || placement_->plan.stages(i).worker() != worker.hello.name()) continue;
      out->set_state(stats.empty() ? v1::WORKER_STATE_LOADING : v1::WORKER_STATE_READY);
      if (stats.empty()) continue;
      out->set_steps(stats[i].steps);
      out->set_compute_seconds(absl::ToDoubleSeconds(stats[i].compute));
    }
  }
}

}  // namespace layercake
