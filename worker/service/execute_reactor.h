#pragma once

// One Execute call: steps in, results out.

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>

#include "common/base/mutex.h"
#include "layercake/v1/stage.grpc.pb.h"
#include "worker/service/stage_host.h"

namespace layercake {

// Its life: 1. the first step names the epoch and begins the run; 2. every step read goes to the
// run, every result of the run is written, one at a time; 3. the client half-closes (the run is to
// end well), breaks the call, or the run fails or is stopped; 4. the run has ended: once the
// results are written, the call is finished with the run's status; 5. gRPC is done with the call,
// and it deletes itself. A call that never had a run is finished where that shows.
class ExecuteReactor final : public grpc::ServerBidiReactor<v1::Step, v1::StepResult> {
 public:
  ExecuteReactor(StageHost& host, const grpc::CallbackServerContext& context);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // Returns false if the call was finished instead.
  bool BeginRun(uint64_t epoch) ABSL_LOCKS_EXCLUDED(mutex_);
  void WriteResult(v1::StepResult result) ABSL_LOCKS_EXCLUDED(mutex_);
  void EndRun(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether the call is to be finished now: said once.
  bool DecideToFinish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  StageHost& host_;
  const grpc::CallbackServerContext& context_;
  std::unique_ptr<v1::Step> step_ = std::make_unique<v1::Step>();  // of the read in flight
  Mutex mutex_;
  std::shared_ptr<StageRun> run_ ABSL_GUARDED_BY(mutex_);  // shared with the host, which frees it
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool run_ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status run_status_;  // set with run_ended_, then left alone
  std::deque<v1::StepResult> results_ ABSL_GUARDED_BY(mutex_);  // the first is being written
};

}  // namespace layercake
