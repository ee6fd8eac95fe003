#include "coordinator/cluster/pipeline.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/rpc/channel.h"
#include "common/rpc/duration.h"
#include "common/rpc/status.h"
#include "layercake/v1/stage.grpc.pb.h"

namespace layercake {
namespace {

// One Execute stream. Its life: 1. opened, a read pending for ever; 2. Submit queues, one write
// runs at a time; 3. a failed read or write, or Close, ends it; 4. OnDone tells the pipeline, and
// the destructor waits for it.
class StageStream final : public grpc::ClientBidiReactor<v1::Step, v1::StepResult> {
 public:
  StageStream(const Pipeline::Stage& stage, std::function<void(const v1::StepResult&)> on_result,
              std::function<void(const absl::Status&)> on_done)
      : worker_(stage.worker),
        on_result_(std::move(on_result)),
        on_done_(std::move(on_done)),
        stub_(v1::Stage::NewStub(CreateChannel(stage.address))) {
    stub_->async()->Execute(&context_, this);
    // Keeps OnDone away until the destructor: Submit may start a write at any moment.
    AddHold();
    StartRead(&result_);
    StartCall();
  }

  ~StageStream() override {
    {
      MutexLock lock(mutex_);
      broken_ = true;
    }
    context_.TryCancel();
    EndHold();
    MutexLock lock(mutex_);
    while (!done_) changed_.Wait(mutex_);
  }

  void EndHold() {
    MutexLock lock(mutex_);
    if (!held_) return;
    held_ = false;
    RemoveHold();
  }

  void Submit(const v1::Step& step) {
    MutexLock lock(mutex_);
    if (broken_) return;
    ++stats_.waiting;
    outbox_.push_back(step);
    if (outbox_.size() == 1) StartWrite(&outbox_.front());
  }

  StageStats stats() const {
    MutexLock lock(mutex_);
    return stats_;
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return Break();
    {
      MutexLock lock(mutex_);
      ++stats_.steps;
      --stats_.waiting;
      stats_.compute += FromProto(result_.compute_time());
    }
    if (on_result_) on_result_(result_);
    StartRead(&result_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Break();
    MutexLock lock(mutex_);
    outbox_.pop_front();
    if (!outbox_.empty() && !broken_) StartWrite(&outbox_.front());
  }

  void Break() {
    {
      MutexLock lock(mutex_);
      broken_ = true;
    }
    EndHold();
  }

  void OnDone(const grpc::Status& status) override {
    absl::Status reason = FromGrpcStatus(status);
    if (reason.ok()) reason = absl::UnavailableError("the stage ended the epoch");
    on_done_(absl::Status(reason.code(), absl::StrCat("worker ", worker_, ": ", reason.message())));
    MutexLock lock(mutex_);
    done_ = true;
    changed_.NotifyAll();
  }

  const std::string worker_;
  const std::function<void(const v1::StepResult&)> on_result_;
  const std::function<void(const absl::Status&)> on_done_;
  std::unique_ptr<v1::Stage::Stub> stub_;
  grpc::ClientContext context_;
  v1::StepResult result_;  // of the read in flight
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<v1::Step> outbox_ ABSL_GUARDED_BY(mutex_);  // the front one is being written
  bool held_ ABSL_GUARDED_BY(mutex_) = true;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  StageStats stats_ ABSL_GUARDED_BY(mutex_);
};

// What only the last stage reads stays out of what the others get.
v1::Step WithoutSampling(const v1::Step& step) {
  v1::Step bare;
  bare.set_epoch(step.epoch());
  bare.set_step_id(step.step_id());
  *bare.mutable_token_ids() = step.token_ids();
  for (const v1::Slice& slice : step.slices()) {
    v1::Slice* copy = bare.add_slices();
    copy->set_position(slice.position());
    copy->set_num_tokens(slice.num_tokens());
    *copy->mutable_block_ids() = slice.block_ids();
  }
  return bare;
}

class GrpcPipeline final : public Pipeline {
 public:
  GrpcPipeline(const std::vector<Stage>& stages, Callbacks callbacks)
      : callbacks_(std::move(callbacks)) {
    for (size_t i = 0; i < stages.size(); ++i) {
      const bool last = i + 1 == stages.size();
      streams_.push_back(std::make_unique<StageStream>(
          stages[i],
          last ? [this](const v1::StepResult& result) { Deliver(result); }
               : std::function<void(const v1::StepResult&)>(),
          [this](const absl::Status& status) { Break(status); }));
    }
  }

  ~GrpcPipeline() override {
    {
      MutexLock lock(mutex_);
      broken_ = true;
    }
    streams_.clear();
  }

  void Submit(const v1::Step& step) override {
    const v1::Step bare = WithoutSampling(step);
    for (size_t i = 0; i + 1 < streams_.size(); ++i) streams_[i]->Submit(bare);
    streams_.back()->Submit(step);
  }

  std::vector<StageStats> stats() const override {
    std::vector<StageStats> stats;
    for (const auto& stream : streams_) stats.push_back(stream->stats());
    return stats;
  }

 private:
  void Deliver(const v1::StepResult& result) {
    {
      MutexLock lock(mutex_);
      if (broken_) return;
    }
    callbacks_.on_result(result);
  }

  void Break(const absl::Status& status) {
    {
      MutexLock lock(mutex_);
      if (std::exchange(broken_, true)) return;
    }
    callbacks_.on_broken(status);
  }

  const Callbacks callbacks_;
  std::vector<std::unique_ptr<StageStream>> streams_;
  Mutex mutex_;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

std::unique_ptr<Pipeline> Pipeline::Open(const std::vector<Stage>& stages, Callbacks callbacks) {
  return std::make_unique<GrpcPipeline>(stages, std::move(callbacks));
}

}  // namespace layercake
