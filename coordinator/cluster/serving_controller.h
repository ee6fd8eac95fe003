#pragma once

// Keeps the model that the operator asked for served by the workers that are there: plans, loads,
// and does both again when a worker is lost or comes back.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "coordinator/cluster/replica_set.h"
#include "coordinator/cluster/serving_listener.h"
#include "coordinator/cluster/worker_registry.h"
#include "coordinator/placement/planner.h"
#include "layercake/v1/admin.pb.h"

namespace layercake {

// How plans are made; the real one is MakePlan.
using Planner = std::function<absl::StatusOr<v1::Plan>(const ModelConfig& model, const Fleet& fleet,
                                                       const v1::PlanOptions& options,
                                                       absl::string_view model_name)>;

// Thread-safe. One thread of its own does all planning and loading, so there is one state at a
// time. The model is served by one or more replicas, each with an epoch and a pipeline of its own;
// what becomes of them after a loss is written in README.md.
class ServingController {
 public:
  // All must outlive the controller.
  ServingController(WorkerRegistry& registry, ServingListener& listener, const Clock* clock,
                    Planner planner = MakePlan);
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

  // Ends every replica; the workers keep their stages. Nothing is served after. Idempotent.
  void Stop();

  // Fills state, detail, epoch, model, plan, workers, and which replicas there are.
  void FillStatus(v1::ClusterStatus* status) const;

 private:
  // What the operator wants served.
  struct Target {
    std::shared_ptr<const ServedModel> model;
    v1::LoadModelRequest request;
    int min_workers = 1;
  };
  struct Job;  // a Load call that waits

  void Run();
  void RunJob(Job& job);
  void HearOfLoss(const absl::Status& reason);
  void Maintain();
  absl::Status PlaceAll(const Target& target, const v1::PlanOptions& options, Job* job);
  absl::Status PlaceWhatIsLeft();
  absl::Status PlaceOneMore();
  absl::Status LoadReplicas(const Target& target, const v1::Plan& plan, Job* job);
  bool IsWhole() const;
  bool CanGrow() const;
  absl::StatusOr<v1::Plan> PlanOver(const std::vector<WorkerInfo>& workers,
                                    const ModelConfig& model, const std::string& name,
                                    const v1::PlanOptions& options) const;
  absl::StatusOr<v1::PlanOptions> OptionsOver(const std::vector<WorkerInfo>& workers) const;
  void SetDetail(absl::string_view detail);
  void Wake();

  WorkerRegistry& registry_;
  ServingListener& listener_;
  const Clock* const clock_;
  const Planner planner_;
  ReplicaSet replicas_;

  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool awake_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<Job> job_ ABSL_GUARDED_BY(mutex_);
  std::string detail_ ABSL_GUARDED_BY(mutex_);  // why not all that was asked for is served
  // Written by the controller's thread alone, which reads it without the lock.
  Target target_;
  // The controller's thread alone. Of the last plan over all workers: how many replicas it had, the
  // sessions it could choose from, and whether something has been lost since the operator's load.
  size_t num_wanted_ = 0;
  std::map<std::string, uint64_t> planned_over_;
  bool shrunk_ = false;
  absl::Time retry_at_ = absl::InfinitePast();

  std::thread thread_;
};

}  // namespace layercake
