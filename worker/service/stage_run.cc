#include "worker/service/stage_run.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "worker/service/step_messages.h"

namespace layercake {

StageRun::StageRun(StageExecutor& stage, const StageLinks& links, StageRunEvents events)
    : stage_(stage), links_(links), events_(std::move(events)), thread_([this] { RunThread(); }) {}

StageRun::~StageRun() {
  Stop(absl::CancelledError("the run was abandoned"));
  thread_.join();
}

void StageRun::Push(std::unique_ptr<v1::Step> step) {
  {
    MutexLock lock(mutex_);
    if (!stopped_.ok()) return;
    if (steps_.size() < kMaxWaiting) {
      steps_.push_back(std::move(step));
      changed_.NotifyAll();
      return;
    }
  }
  Stop(absl::ResourceExhaustedError(
      absl::StrCat("more than ", kMaxWaiting, " steps wait for this stage")));
}

void StageRun::EndOfSteps() {
  MutexLock lock(mutex_);
  no_more_steps_ = true;
  changed_.NotifyAll();
}

void StageRun::Stop(const absl::Status& why) {
  CHECK(!why.ok());
  MutexLock lock(mutex_);
  if (ended_ || !stopped_.ok()) return;
  stopped_ = why;
  steps_.clear();
  changed_.NotifyAll();
  if (links_.source != nullptr) links_.source->Close(why);
  if (links_.sink != nullptr) links_.sink->Cancel();
}

void StageRun::WaitForEnd() {
  MutexLock lock(mutex_);
  while (!ended_) changed_.Wait(mutex_);
}

std::unique_ptr<v1::Step> StageRun::Next() {
  MutexLock lock(mutex_);
  while (steps_.empty() && !no_more_steps_ && stopped_.ok()) changed_.Wait(mutex_);
  if (steps_.empty() || !stopped_.ok()) return nullptr;
  std::unique_ptr<v1::Step> step = std::move(steps_.front());
  steps_.pop_front();
  return step;
}

absl::Status StageRun::RunSteps() {
  while (const std::unique_ptr<v1::Step> message = Next()) {
    const StepRequest step = ToStepRequest(*message);
    LC_ASSIGN_OR_RETURN(const StepOutput output, stage_.Run(step, links_));
    events_.on_result(ToMessage(output, step));
  }
  return links_.sink == nullptr ? absl::OkStatus() : links_.sink->Finish();
}

void StageRun::RunThread() {
  absl::Status status = RunSteps();
  {
    MutexLock lock(mutex_);
    // What broke because of Stop is explained by who asked for it.
    if (!stopped_.ok()) status = stopped_;
    if (stopped_.ok()) stopped_ = absl::FailedPreconditionError("the run is over");
    steps_.clear();
  }
  if (links_.source != nullptr) {
    links_.source->Close(status.ok() ? absl::FailedPreconditionError("the epoch is over") : status);
  }
  if (links_.sink != nullptr && !status.ok()) links_.sink->Cancel();
  events_.on_end(status);
  MutexLock lock(mutex_);
  ended_ = true;
  changed_.NotifyAll();
}

}  // namespace layercake
