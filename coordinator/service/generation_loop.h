#pragma once

// The loop that turns requests into steps and results into chunks.
//
// It has no thread: every event (a request, a result, a cancel, a new epoch) updates the scheduler
// of a replica under one lock and then fills that replica's pipeline with what can run now. All
// calls out (StepSink, ChunkSink) are made under that lock and must neither block nor call back.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "coordinator/cluster/serving_listener.h"
#include "coordinator/schedule/sequence.h"
#include "coordinator/service/completion.h"
#include "coordinator/service/generation_request.h"
#include "coordinator/service/serving_replica.h"
#include "layercake/v1/admin.pb.h"
#include "layercake/v1/inference.pb.h"

namespace layercake {

// Where a request's chunks go.
class ChunkSink {
 public:
  virtual ~ChunkSink() = default;
  // Chunks of all completions of the request, each completion's in order.
  virtual void Write(v1::GenerateChunk chunk) = 0;
  // All completions have ended, or the request failed. The last call.
  virtual void End(const absl::Status& status) = 0;
};

// A model that answers now.
struct LiveModel {
  std::shared_ptr<const ServedModel> model;  // shared: requests hold it past an unload
  int max_context_tokens = 0;                // on whichever replica
};

// Thread-safe.
class GenerationLoop final : public ServingListener {
 public:
  // `clock` must outlive the loop. At most `max_waiting` completions wait at each replica.
  GenerationLoop(const Clock* clock, int max_waiting);
  ~GenerationLoop() override;

  // Errors: Unavailable with RetryInfo (nothing is served, or the cluster is draining).
  absl::StatusOr<LiveModel> Live() const;

  // Queues a request made for `model`, all its completions at the same replica; chunks go to `sink`
  // until it has ended or Cancel returned. Errors: Unavailable (another model is served by now;
  // draining); ResourceExhausted (queue full, with RetryInfo; or it could never fit).
  absl::StatusOr<uint64_t> Submit(GenerationRequest request,
                                  std::shared_ptr<const ServedModel> model, ChunkSink* sink);
  // After it returns `sink` is not touched. Its KV blocks are free at once. Idempotent.
  void Cancel(uint64_t request);

  void SetDraining(bool draining);
  // Blocks until no request runs or waits, or `timeout` has passed, or `cancelled` says so;
  // returns the completions left.
  int WaitIdle(absl::Duration timeout, const std::function<bool()>& cancelled) const;
  // Fills sequences, blocks, token counts and, when draining, state; of the replicas that are
  // listed already, what each has to do.
  void FillStatus(v1::ClusterStatus* status) const;
  // Called with whether requests are taken, whenever that changes; from any thread, locks held.
  void OnServingChange(std::function<void(bool)> listener);

  void OnReady(uint64_t epoch, std::shared_ptr<const ServedModel> model, const v1::Plan& plan,
               StepSink& pipeline) override;
  absl::Status OnResult(uint64_t epoch, const v1::StepResult& result) override;
  void OnStopped(uint64_t epoch, const absl::Status& reason) override;
  bool IsIdle() const override;

 private:
  struct Request;
  using Chunks = std::vector<std::pair<uint64_t, v1::GenerateChunk>>;  // by request

  ServingReplica& Choose(const GenerationRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Enqueue(const Request& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Pump(ServingReplica& replica) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  v1::Step MakeStep(const ServingReplica& replica, const ScheduledStep& step)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeOutcome(ServingReplica& replica, const SliceOutcome& outcome,
                   const v1::SliceResult& slice, Chunks& chunks)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(uint64_t request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool serving() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status NotServing() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NotifyServing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock* const clock_;
  const int max_waiting_;
  mutable Mutex mutex_;
  mutable CondVar idle_;
  std::function<void(bool)> serving_listener_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  // By epoch; none: nothing is served.
  std::map<uint64_t, std::unique_ptr<ServingReplica>> replicas_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::unique_ptr<Request>> requests_ ABSL_GUARDED_BY(mutex_);
  std::map<SequenceId, Request*> sequences_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t prompt_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t generated_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace layercake
