#include "worker/service/execute_reactor.h"

#include <utility>

#include "common/rpc/status.h"

namespace layercake {
namespace {

absl::Status CallBroken() {
  return absl::CancelledError("the coordinator went away or cancelled the call");
}

}  // namespace

ExecuteReactor::ExecuteReactor(StageHost& host, const grpc::CallbackServerContext& context)
    : host_(host), context_(context) {
  StartRead(step_.get());
}

void ExecuteReactor::OnReadDone(bool ok) {
  std::shared_ptr<StageRun> run;
  {
    MutexLock lock(mutex_);
    run = run_;
  }
  if (!ok) {
    if (run == nullptr) {
      Finish(grpc::Status::OK);
    } else if (context_.IsCancelled()) {
      run->Stop(CallBroken());
    } else {
      run->EndOfSteps();
    }
    return;
  }
  if (run == nullptr) {
    if (!BeginRun(step_->epoch())) return;
    MutexLock lock(mutex_);
    run = run_;
  }
  run->Push(std::exchange(step_, std::make_unique<v1::Step>()));
  MutexLock lock(mutex_);
  if (!finished_) StartRead(step_.get());
}

bool ExecuteReactor::BeginRun(uint64_t epoch) {
  // The run may call back before Execute returns; what it says waits for the lock.
  MutexLock lock(mutex_);
  if (cancelled_) {
    Finish(ToGrpcStatus(CallBroken()));
    return false;
  }
  auto run = host_.Execute(
      epoch, {.on_result = [this](v1::StepResult result) { WriteResult(std::move(result)); },
              .on_end = [this](const absl::Status& status) { EndRun(status); }});
  if (!run.ok()) {
    Finish(ToGrpcStatus(run.status()));
    return false;
  }
  run_ = *std::move(run);
  return true;
}

void ExecuteReactor::WriteResult(v1::StepResult result) {
  MutexLock lock(mutex_);
  results_.push_back(std::move(result));
  if (results_.size() == 1) StartWrite(&results_.front());
}

void ExecuteReactor::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    if (ok) {
      results_.pop_front();
    } else {
      results_.clear();
    }
    if (!results_.empty()) {
      StartWrite(&results_.front());
      return;
    }
    if (!DecideToFinish()) return;
  }
  Finish(ToGrpcStatus(run_status_));
}

void ExecuteReactor::EndRun(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    run_ended_ = true;
    run_status_ = status;
    if (!DecideToFinish()) return;
  }
  // Without the lock: this is the run's thread, and once finished the reactor may be gone.
  Finish(ToGrpcStatus(status));
}

bool ExecuteReactor::DecideToFinish() {
  finished_ = run_ended_ && results_.empty();
  return finished_;
}

void ExecuteReactor::OnCancel() {
  std::shared_ptr<StageRun> run;
  {
    MutexLock lock(mutex_);
    cancelled_ = true;
    run = run_;
  }
  if (run != nullptr) run->Stop(CallBroken());
}

void ExecuteReactor::OnDone() { delete this; }

}  // namespace layercake
