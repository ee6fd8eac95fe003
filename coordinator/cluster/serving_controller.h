#pragma once

// Keeps the model that the operator asked for served by the workers that are there: plans, loads,
// and does both again when a worker is lost or comes back.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "coordinator/cluster/pipeline.h"
#include "coordinator/cluster/served_model.h"
#include "coordinator/cluster/worker_registry.h"
#include "layercake/v1/admin.pb.h"

namespace layercake {

// What the controller tells of a placement's life. Called from the controller's thread, in turn.
class ServingListener {
 public:
  virtual ~ServingListener() = default;
  // Steps of `epoch` may go to `pipeline` until OnStopped returns. The model is shared: requests hold
  // it until they have ended, which may be after the next model was loaded.
  virtual void OnReady(uint64_t epoch, std::shared_ptr<const ServedModel> model,
                       const v1::Plan& plan, StepSink& pipeline) = 0;
  // From gRPC's threads, in step order. An error breaks the pipeline: a worker answered nonsense.
  virtual absl::Status OnResult(const v1::StepResult& result) = 0;
  // The epoch is over; its requests cannot go on. `reason` is Unavailable.
  virtual void OnStopped(const absl::Status& reason) = 0;
  virtual bool IsIdle() const = 0;  // no request running or waiting
};

// Thread-safe. One thread of its own does all planning and loading, so there is one state at a time:
//   empty -> loading -> ready -> (worker lost) -> degraded -> loading -> ready ...
class ServingController {
 public:
  // All must outlive the controller.
  ServingController(WorkerRegistry& registry, ServingListener& listener, const Clock* clock);
  ~ServingController();

  // Errors: the checkpoint's, the planner's, Unavailable (no workers).
  absl::StatusOr<v1::Plan> Plan(const std::string& model_dir, const v1::PlanOptions& options) const;

  // Plans and loads once `min_workers` are there, and blocks until the model answers. A model that
  // cannot be loaded leaves the one before in place, if the reason is known before anything moved.
  //   on_progress: called from this thread.  cancelled: polled; gives up the wait and the load.
  // Errors: the checkpoint's, the planner's, a worker's; Aborted (another load runs); Cancelled.
  absl::Status Load(const v1::LoadModelRequest& request, int min_workers,
                    const std::function<void(const v1::LoadModelProgress&)>& on_progress,
                    const std::function<bool()>& cancelled);
  // Errors: Aborted (a load runs).
  absl::Status Unload();

  // Fills state, detail, epoch, model, plan and workers.
  void FillStatus(v1::ClusterStatus* status) const;

 private:
  // What the operator wants served.
  struct Target {
    std::shared_ptr<const ServedModel> model;
    v1::LoadModelRequest request;
    int min_workers = 1;
  };
  struct Job;        // a Load call that waits
  struct Placement;  // one epoch's stages and their pipeline

  void Run();
  void RunJob(Job& job);
  void Maintain();
  absl::Status Place(const Target& target, Job* job);
  void Retire(const absl::Status& reason);
  absl::Status PlacementHealth() const;
  bool CanGrow() const;
  absl::StatusOr<v1::Plan> PlanOverLiveWorkers(const ServedModel& model,
                                               const v1::PlanOptions& options) const;
  void SetState(v1::ServingState state, const std::string& detail);
  void Break(const absl::Status& reason);
  void Wake();

  WorkerRegistry& registry_;
  ServingListener& listener_;
  const Clock* const clock_;

  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool awake_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<Job> job_ ABSL_GUARDED_BY(mutex_);
  v1::ServingState state_ ABSL_GUARDED_BY(mutex_) = v1::SERVING_STATE_EMPTY;
  std::string detail_ ABSL_GUARDED_BY(mutex_);
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);  // why the pipeline in force broke
  // Written by the controller's thread alone, which reads them without the lock.
  Target target_;
  std::unique_ptr<Placement> placement_;
  uint64_t epoch_;
  absl::Time retry_at_ = absl::InfinitePast();

  std::thread thread_;
};

}  // namespace layercake
