#pragma once

// The replicas that serve, or are being loaded: their birth, their health and their end.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "coordinator/cluster/replica.h"
#include "coordinator/cluster/serving_listener.h"
#include "coordinator/cluster/stage_loader.h"
#include "coordinator/cluster/worker_registry.h"
#include "layercake/v1/admin.pb.h"

namespace layercake {

// FillStatus and plan may be called from any thread, all else from the controller's alone.
class ReplicaSet {
 public:
  struct Callbacks {
    // A replica's streams broke: RetireLost has something to do. From gRPC's threads, no locks
    // held.
    std::function<void()> on_broken;
    // A replica is about to be retired for this reason. From the controller's thread.
    std::function<void(const absl::Status&)> on_lost;
  };

  // All must outlive the set.
  //   first_epoch: epochs start above it, and above all that workers have seen.
  ReplicaSet(const WorkerRegistry& registry, ServingListener& listener, uint64_t first_epoch,
             Callbacks callbacks);

  // Loads the replicas of `plan` beside those there are, and tells the listener once all can
  // answer. While it loads, those that serve are watched: a lost one is retired at once.
  //   cancelled, on_progress: see LoadStages.
  // Errors: LoadStages'; Unavailable (a worker was lost). None of them was added then.
  absl::Status Load(const std::shared_ptr<const ServedModel>& model, const v1::Plan& plan,
                    const std::function<bool()>& cancelled,
                    const std::function<void(const StageProgress&)>& on_progress);

  // Ends those whose worker was lost, whose streams broke, or whose steps go nowhere.
  void RetireLost();
  // Ends every replica. With `unload` their live workers free their stages.
  void RetireAll(const absl::Status& reason, bool unload);

  size_t size() const { return replicas_.size(); }
  bool IsHealthy() const;                       // every one of them
  std::vector<WorkerInfo> FreeWorkers() const;  // that live and are on none
  int FreeNumber() const;                       // the lowest that no replica has

  v1::Plan plan() const;  // of all, together
  // Fills epoch, plan, workers and replicas; and state, if there is any replica.
  void FillStatus(absl::Time now, v1::ClusterStatus* status) const;

 private:
  std::vector<Replica*> Add(const v1::Plan& plan);
  void Open(Replica& replica, const std::shared_ptr<const ServedModel>& model);
  struct Loss {
    const Replica* replica;
    absl::Status reason;
  };
  void Retire(const std::vector<Loss>& losses, bool unload);
  void Break(uint64_t epoch, const absl::Status& reason);
  absl::Status Health(const Replica& replica) const;
  v1::Plan PlanOfAll() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FillStage(const std::string& worker, v1::WorkerStatus* out) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const WorkerRegistry& registry_;
  ServingListener& listener_;
  const Callbacks callbacks_;
  uint64_t epoch_;

  mutable Mutex mutex_;
  // Written by the controller's thread alone, which reads it without the lock.
  std::vector<std::unique_ptr<Replica>> replicas_;
};

}  // namespace layercake
