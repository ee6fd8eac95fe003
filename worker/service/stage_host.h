#pragma once

// The worker's one stage: loading it, freeing it, and who may run it.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/model/checkpoint.h"
#include "layercake/v1/stage.pb.h"
#include "worker/device/device.h"
#include "worker/engine/stage_executor.h"
#include "worker/service/link_broker.h"
#include "worker/service/stage_run.h"
#include "worker/transport/activation_queue.h"

namespace layercake {

struct StageHostOptions {
  std::string worker_name;
  // Where a model directory that is not here is looked up by its last component; may be empty.
  std::string model_root;
  // Of the device, for this worker; 0: no cap.
  int64_t memory_cap_bytes = 0;
  Transport transport = Transport::kAuto;
  NcclEnd nccl;
};

struct LoadedStage {
  StageBytes bytes;
  // How its activations leave it, "nccl" or "grpc", and why; empty for the last stage.
  std::string link;
  std::string link_reason;
};

// What a worker tells its coordinator of itself.
struct StageStats {
  int64_t free_bytes = 0;   // of the device, within the cap
  int64_t stage_bytes = 0;  // what the stage takes
  uint64_t num_steps = 0;
  uint64_t last_epoch = 0;  // the newest that was ever loaded; older ones are refused
  std::optional<absl::Duration> step_running;
  absl::Status device;  // not OK: it failed, and nothing will run on it any more
};

// Thread-safe. Epochs: Load begins one; each has at most one run and one source of activations.
class StageHost {
 public:
  // `device` and `clock` must outlive the host.
  StageHost(StageHostOptions options, Device& device, const Clock& clock);
  // As Stop.
  ~StageHost();

  // Loads what `request` asks for, in place of the stage held before, whose run is stopped. Weights
  // that are the same stay. Waits while another load is going on.
  //   progress: called now and then; false abandons the load.
  // Returns what was taken. Errors: those of Stage.Load in stage.proto; InvalidArgument (makes no
  // sense); Cancelled (abandoned, or Unload or Stop was called).
  absl::StatusOr<LoadedStage> Load(const v1::LoadStageRequest& request, LoadProgress progress)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Stops the run, abandons a load, frees the stage. Idempotent.
  void Unload() ABSL_LOCKS_EXCLUDED(mutex_);
  // Unload, for good: loads fail from now on.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // Begins the one run of `epoch`.
  // Errors: FailedPrecondition (nothing loaded, another epoch, or it has had its run).
  absl::StatusOr<std::shared_ptr<StageRun>> Execute(uint64_t epoch, StageRunEvents events)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Where the activations of `epoch` are to be pushed, for the one stage before this one.
  // Errors: FailedPrecondition (as Execute's, this is the first stage, or its operator wants NCCL
  // only).
  absl::StatusOr<std::shared_ptr<ActivationQueue>> OpenSource(uint64_t epoch)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // For the previous stage's worker to open a link with.
  LinkBroker& links() { return links_; }

  StageStats Stats() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Taken by whoever loads or frees the stage; only one does at a time.
  class Exclusive;
  struct Loaded {
    v1::LoadStageRequest request;
    std::string weights;  // Checkpoint::identity()
    std::unique_ptr<StageExecutor> stage;
    // Shared with the call that pushes, which may end after the epoch; closed before the stage
    // goes.
    std::shared_ptr<ActivationQueue> source;
    std::unique_ptr<ActivationSource> nccl_source;  // in its place, if the two workers agreed so
    OutgoingLink out;                               // no sink: the last stage

    LoadedStage Describe() const;
    bool source_taken = false;
    // Shared with the call that feeds it, which may end after the epoch.
    std::shared_ptr<StageRun> run;
  };

  absl::Status CheckEpoch(uint64_t epoch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Begins to offer the next stage's worker a link, if `request` names one. Until the load ends.
  absl::Status BeginOffer(const v1::LoadStageRequest& request) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for what becomes of it.
  absl::StatusOr<OutgoingLink> TakeOffer(const StageExecutor& stage, LoadProgress progress)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::unique_ptr<StageExecutor>> LoadStage(const v1::LoadStageRequest& request,
                                                           const Checkpoint& checkpoint,
                                                           LoadProgress progress);
  absl::Status CheckMemory(const Checkpoint& checkpoint, const StageShape& shape) const;
  absl::StatusOr<std::unique_ptr<Checkpoint>> OpenCheckpoint(
      const v1::LoadStageRequest& request) const;
  // Stops the run and takes the stage out; the caller frees it without the lock.
  std::unique_ptr<Loaded> TakeOut(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t FreeBytes(int64_t stage_bytes) const;

  const StageHostOptions options_;
  Device& device_;
  LinkBroker links_;
  const Clock& clock_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;  // a load or an unload is going on
  int abandon_ ABSL_GUARDED_BY(mutex_) = 0;    // how many wait for the load to be abandoned
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<LinkBroker::Offer> offer_ ABSL_GUARDED_BY(mutex_);  // of the load going on
  uint64_t last_epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<Loaded> loaded_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace layercake
