#pragma once

// One epoch's steps, run in order on a thread of their own.

#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "layercake/v1/stage.pb.h"
#include "worker/engine/stage_executor.h"

namespace layercake {

// Who hears of a run. Called on the run's thread.
struct StageRunEvents {
  std::function<void(v1::StepResult)> on_result;
  // Once, last: OK after EndOfSteps, else why the run ended early.
  std::function<void(const absl::Status&)> on_end;
};

// Thread-safe.
class StageRun {
 public:
  // Steps that may wait; more is a peer that does not keep to the protocol.
  static constexpr size_t kMaxWaiting = 1024;

  // `stage` and what `links` point to must live until the run has ended.
  StageRun(StageExecutor& stage, const StageLinks& links, StageRunEvents events);
  // Stops the run and waits for its end. REQUIRES: not called from on_result or on_end.
  ~StageRun();

  // Queues a step; what it asks for is checked when its turn comes. Ignored after the end.
  void Push(std::unique_ptr<v1::Step> step) ABSL_LOCKS_EXCLUDED(mutex_);
  // No more steps: the run ends well when those queued are done.
  void EndOfSteps() ABSL_LOCKS_EXCLUDED(mutex_);
  // Drops the steps still queued and breaks the links; the step in hand is computed to its end, for
  // nobody. `why`: what on_end is told.
  void Stop(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns when on_end has returned. REQUIRES: not called from on_end.
  void WaitForEnd() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void RunThread();
  absl::Status RunSteps();
  std::unique_ptr<v1::Step> Next();

  StageExecutor& stage_;
  const StageLinks links_;
  const StageRunEvents events_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::unique_ptr<v1::Step>> steps_ ABSL_GUARDED_BY(mutex_);
  bool no_more_steps_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status stopped_ ABSL_GUARDED_BY(mutex_);  // not OK: Stop was called
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace layercake
