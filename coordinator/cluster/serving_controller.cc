#include "coordinator/cluster/serving_controller.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/model/model_size.h"
#include "coordinator/cluster/replica_plans.h"
#include "coordinator/cluster/stage_loader.h"
#include "coordinator/placement/weight_types.h"
#include "coordinator/placement/worker_names.h"

namespace layercake {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(100);
constexpr absl::Duration kRetryDelay = absl::Seconds(1);

bool SameTarget(const v1::LoadModelRequest& a, const v1::LoadModelRequest& b) {
  return a.SerializeAsString() == b.SerializeAsString();
}

std::vector<WorkerInfo> LiveOf(std::vector<WorkerInfo> workers) {
  std::erase_if(workers, [](const WorkerInfo& worker) { return !worker.alive; });
  return workers;
}

std::vector<std::string> NamesOf(const std::vector<WorkerInfo>& workers) {
  std::vector<std::string> names;
  for (const WorkerInfo& worker : workers) names.push_back(worker.hello.name());
  return names;
}

Fleet FleetOf(const std::vector<WorkerInfo>& workers) {
  std::vector<PlannerDevice> devices;
  for (const WorkerInfo& worker : workers) {
    PlannerDevice device;
    device.name = worker.hello.name();
    device.host = worker.hello.host();
    device.device = worker.hello.device();
    // What its stage takes now will be free before the next one is loaded.
    device.device.set_free_bytes(worker.heartbeat.free_bytes() + worker.heartbeat.stage_bytes());
    device.profile = worker.hello.profile();
    devices.push_back(std::move(device));
  }
  return Fleet(std::move(devices));
}

std::map<std::string, uint64_t> SessionsOf(const std::vector<WorkerInfo>& workers) {
  std::map<std::string, uint64_t> sessions;
  for (const WorkerInfo& worker : workers) sessions[worker.hello.name()] = worker.session;
  return sessions;
}

}  // namespace

struct ServingController::Job {
  Target target;
  v1::LoadModelProgress progress;
  uint64_t progress_version = 0;
  bool give_up = false;
  bool unload = false;   // the target is nothing
  bool replace = false;  // plan anew though the target is served
  bool ended = false;
  absl::Status status;
};

ServingController::ServingController(WorkerRegistry& registry, ServingListener& listener,
                                     const Clock* clock, Planner planner)
    : registry_(registry),
      listener_(listener),
      clock_(clock),
      planner_(std::move(planner)),
      replicas_(registry, listener, static_cast<uint64_t>(absl::ToUnixMillis(clock->Now())),
                {.on_broken = [this] { Wake(); },
                 .on_lost = [this](const absl::Status& reason) { HearOfLoss(reason); }}) {
  registry_.OnChange([this] { Wake(); });
  thread_ = std::thread([this] { Run(); });
}

ServingController::~ServingController() { Stop(); }

void ServingController::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (job_ != nullptr) job_->give_up = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void ServingController::Wake() {
  MutexLock lock(mutex_);
  awake_ = true;
  changed_.NotifyAll();
}

void ServingController::SetDetail(absl::string_view detail) {
  MutexLock lock(mutex_);
  detail_ = std::string(detail);
}

absl::StatusOr<v1::Plan> ServingController::Plan(const std::string& model_dir,
                                                 const v1::PlanOptions& options) const {
  LC_ASSIGN_OR_RETURN(const SizedModel model, SizeModel(model_dir));
  LC_ASSIGN_OR_RETURN(v1::Plan plan,
                      PlanOver(LiveOf(registry_.Snapshot()), model.config, model.name, options));
  if (!model.note.empty()) plan.add_notes(model.note);
  return plan;
}

absl::StatusOr<v1::Plan> ServingController::PlanOver(const std::vector<WorkerInfo>& workers,
                                                     const ModelConfig& model,
                                                     const std::string& name,
                                                     const v1::PlanOptions& options) const {
  if (workers.empty()) {
    return absl::UnavailableError(
        "no worker has joined; start layercake-worker --coordinator with this address");
  }
  return planner_(model, FleetOf(workers), options, name);
}

// A GPU's UUID becomes its worker's name first, lost workers' too: what is asked of a card here
// must not be dropped as if it were a stranger's.
absl::StatusOr<v1::PlanOptions> ServingController::OptionsOver(
    const std::vector<WorkerInfo>& workers) const {
  LC_ASSIGN_OR_RETURN(v1::PlanOptions options,
                      WithWorkerNames(FleetOf(registry_.Snapshot()), target_.request.options()));
  return OptionsForWorkers(std::move(options), NamesOf(workers));
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
  job->target.request.clear_replace();
  job->replace = request.replace();
  job->target.min_workers = min_workers;
  const bool unload = job->unload;
  {
    MutexLock lock(mutex_);
    if (stopping_) return absl::UnavailableError("the coordinator is stopping");
    if (job_ != nullptr) {
      return absl::AbortedError("another load or unload runs; try again after it");
    }
    job_ = std::move(job);
    changed_.NotifyAll();
  }
  absl::Status status;
  uint64_t seen = 0;
  for (bool ended = false; !ended;) {
    v1::LoadModelProgress progress;
    bool is_news = false;
    {
      MutexLock lock(mutex_);
      if (!job_->ended) changed_.WaitFor(mutex_, kPoll);
      if (cancelled()) job_->give_up = true;
      is_news = std::exchange(seen, job_->progress_version) != job_->progress_version;
      progress = job_->progress;
      ended = job_->ended;
      status = job_->status;
      if (ended) job_ = nullptr;
    }
    const bool is_ready = ended && status.ok() && !unload;
    progress.set_ready(is_ready);
    // Without the lock: who hears of it may be slow, or hang.
    if (on_progress && (is_news || is_ready)) on_progress(progress);
  }
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
  replicas_.RetireAll(absl::UnavailableError("the coordinator is stopping"), /*unload=*/false);
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
    replicas_.RetireAll(absl::UnavailableError("the model was unloaded"), /*unload=*/true);
  } else if (!job.replace && SameTarget(job.target.request, target_.request) && IsWhole()) {
    MutexLock lock(mutex_);
    *job.progress.mutable_plan() = replicas_.plan();
  } else {
    {
      MutexLock lock(mutex_);
      while (registry_.num_alive() < job.target.min_workers && !job.give_up && !stopping_) {
        changed_.WaitFor(mutex_, kPoll);
      }
      if (job.give_up || stopping_) status = absl::CancelledError("the load was given up");
    }
    job.target.min_workers = registry_.num_alive();
    if (status.ok()) status = PlaceAll(job.target, job.target.request.options(), &job);
  }
  MutexLock lock(mutex_);
  if (replicas_.size() == 0 && (!status.ok() || job.unload)) {
    target_ = Target();
    detail_ = std::string(status.message());
  }
  job.status = status;
  job.ended = true;
  changed_.NotifyAll();
}

void ServingController::HearOfLoss(const absl::Status& reason) {
  SetDetail(reason.message());
  shrunk_ = true;
  retry_at_ = clock_->Now();
}

void ServingController::Maintain() {
  if (target_.model == nullptr) return;
  replicas_.RetireLost();
  const bool whole = IsWhole();
  if (whole ? !CanGrow() : clock_->Now() < retry_at_) return;
  absl::Status status = whole || replicas_.size() == 0 ? PlaceWhatIsLeft() : PlaceOneMore();
  // Only where one more cannot be had are those moved that serve.
  if (!status.ok() && !whole && CanGrow()) status = PlaceWhatIsLeft();
  if (status.ok()) return;
  retry_at_ = clock_->Now() + kRetryDelay;
  if (replicas_.size() == 0) SetDetail(status.message());
}

// Plans over all workers, and puts what comes of it in place of every replica there is.
absl::Status ServingController::PlaceAll(const Target& target, const v1::PlanOptions& options,
                                         Job* job) {
  const std::vector<WorkerInfo> workers = LiveOf(registry_.Snapshot());
  planned_over_ = SessionsOf(workers);
  // Refusals come before anything moves.
  const ModelConfig& config = target.model->checkpoint->config();
  LC_ASSIGN_OR_RETURN(const v1::Plan plan, PlanOver(workers, config, target.model->name, options));
  LC_RETURN_IF_ERROR(CheckMakeable(config, plan.weight_type()));
  replicas_.RetireAll(absl::UnavailableError("the model is being placed anew"), /*unload=*/true);
  num_wanted_ = SplitReplicas(plan).size();
  shrunk_ = static_cast<int>(workers.size()) < target.min_workers;
  return LoadReplicas(target, plan, job);
}

// Fewer replicas than the operator asked for are better than none.
absl::Status ServingController::PlaceWhatIsLeft() {
  LC_ASSIGN_OR_RETURN(v1::PlanOptions options, OptionsOver(LiveOf(registry_.Snapshot())));
  const absl::Status status = PlaceAll(target_, options, nullptr);
  if (status.ok() || options.replicas() <= 1 || replicas_.size() > 0) return status;
  options.set_replicas(0);
  return PlaceAll(target_, options, nullptr);
}

// On the workers that no replica is on, while the others go on.
absl::Status ServingController::PlaceOneMore() {
  const std::vector<WorkerInfo> workers = replicas_.FreeWorkers();
  LC_ASSIGN_OR_RETURN(v1::PlanOptions asked, OptionsOver(workers));
  const v1::PlanOptions options = OptionsForOneMore(std::move(asked), replicas_.plan());
  LC_ASSIGN_OR_RETURN(v1::Plan plan, PlanOver(workers, target_.model->checkpoint->config(),
                                              target_.model->name, options));
  const int number = replicas_.FreeNumber();
  for (v1::StagePlan& stage : *plan.mutable_stages()) stage.set_replica(number);
  for (auto& prediction : *plan.mutable_predictions()) prediction.set_replica(number);
  return LoadReplicas(target_, plan, nullptr);
}

absl::Status ServingController::LoadReplicas(const Target& target, const v1::Plan& plan, Job* job) {
  if (replicas_.size() == 0) SetDetail(absl::StrCat("loading ", target.model->name));
  LC_RETURN_IF_ERROR(replicas_.Load(
      target.model, plan,
      [&] {
        MutexLock lock(mutex_);
        return stopping_ || (job != nullptr && job->give_up);
      },
      [&](const StageProgress& progress) {
        MutexLock lock(mutex_);
        if (job == nullptr) return;
        *job->progress.mutable_plan() = replicas_.plan();
        job->progress.mutable_stages()->Assign(progress.begin(), progress.end());
        ++job->progress_version;
        changed_.NotifyAll();
      }));
  MutexLock lock(mutex_);
  target_ = target;
  if (job != nullptr) *job->progress.mutable_plan() = replicas_.plan();  // now with its links
  if (replicas_.size() == num_wanted_) detail_.clear();
  return absl::OkStatus();
}

bool ServingController::IsWhole() const {
  return replicas_.size() > 0 && replicas_.size() == num_wanted_ && replicas_.IsHealthy();
}

// Whether all workers together could now do better than what is left of earlier plans: some are on
// no replica, and the last plan had not these to choose from.
bool ServingController::CanGrow() const {
  return shrunk_ && replicas_.size() > 0 && listener_.IsIdle() &&
         !replicas_.FreeWorkers().empty() &&
         SessionsOf(LiveOf(registry_.Snapshot())) != planned_over_;
}

void ServingController::FillStatus(v1::ClusterStatus* status) const {
  MutexLock lock(mutex_);
  replicas_.FillStatus(clock_->Now(), status);
  status->set_detail(detail_);
  if (target_.model != nullptr) {
    status->set_model(target_.model->name);
    *status->mutable_request() = target_.request;
    status->mutable_request()->set_model_dir(target_.model->checkpoint->directory());
  }
  if (status->replicas_size() > 0) return;
  status->set_state(target_.model == nullptr ? v1::SERVING_STATE_EMPTY
                                             : v1::SERVING_STATE_DEGRADED);
}

}  // namespace layercake
