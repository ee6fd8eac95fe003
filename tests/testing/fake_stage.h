#pragma once

// A worker's Stage service without a model, for tests of whoever calls it: loads at once, answers
// every sampled slice with the step's id, and fails when the test says so.

#include <grpcpp/server_context.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/rpc/status.h"
#include "layercake/v1/stage.grpc.pb.h"
#include "tests/testing/loopback_server.h"

namespace layercake {

// Thread-safe. Listens on a free port of loopback from construction on.
class FakeStage final : public v1::Stage::Service {
 public:
  ~FakeStage() override { Die(); }

  const std::string& address() const { return server_.address(); }

  // The next Load calls fail with `status`, after half of the bytes.
  void FailLoads(absl::Status status) {
    MutexLock lock(mutex_);
    load_status_ = std::move(status);
  }
  // What its stage says of the link to the next one, wherever there is a next one.
  void SetLink(std::string link, std::string reason) {
    MutexLock lock(mutex_);
    link_ = std::move(link);
    link_reason_ = std::move(reason);
  }
  // Load calls that come now answer once ReleaseLoads is called, or the caller cancelled.
  void HoldLoads() { SetHeld(true); }
  void ReleaseLoads() { SetHeld(false); }
  // Steps that come from now on are not answered.
  void HoldSteps() {
    MutexLock lock(mutex_);
    steps_held_ = true;
  }
  // Blocks until so many Load calls have come.
  void AwaitLoads(size_t count) {
    MutexLock lock(mutex_);
    while (loads_.size() < count) changed_.Wait(mutex_);
  }
  // Ends the process, as far as callers can tell.
  void Die() { server_.Die(); }

  std::vector<v1::LoadStageRequest> loads() const {
    MutexLock lock(mutex_);
    return loads_;
  }
  int unloads() const {
    MutexLock lock(mutex_);
    return unloads_;
  }

 private:
  bool steps_held() const {
    MutexLock lock(mutex_);
    return steps_held_;
  }
  void SetHeld(bool held) {
    MutexLock lock(mutex_);
    held_ = held;
    changed_.NotifyAll();
  }

  grpc::Status Load(grpc::ServerContext* context, const v1::LoadStageRequest* request,
                    grpc::ServerWriter<v1::LoadStageProgress>* writer) override {
    absl::Status status;
    {
      MutexLock lock(mutex_);
      loads_.push_back(*request);
      status = load_status_;
      changed_.NotifyAll();
      while (held_ && !context->IsCancelled()) changed_.WaitFor(mutex_, absl::Milliseconds(10));
    }
    v1::LoadStageProgress progress;
    progress.set_total_bytes(100);
    progress.set_loaded_bytes(50);
    writer->Write(progress);
    if (!status.ok()) return ToGrpcStatus(status);
    progress.set_loaded_bytes(100);
    progress.set_done(true);
    if (!request->next_address().empty()) {
      MutexLock lock(mutex_);
      progress.set_link(link_);
      progress.set_link_reason(link_reason_);
    }
    writer->Write(progress);
    return grpc::Status::OK;
  }

  grpc::Status Unload(grpc::ServerContext*, const v1::UnloadStageRequest*,
                      v1::UnloadStageResponse*) override {
    MutexLock lock(mutex_);
    ++unloads_;
    return grpc::Status::OK;
  }

  grpc::Status Execute(grpc::ServerContext*,
                       grpc::ServerReaderWriter<v1::StepResult, v1::Step>* stream) override {
    v1::Step step;
    while (stream->Read(&step)) {
      if (steps_held()) continue;
      v1::StepResult result;
      result.set_step_id(step.step_id());
      for (const v1::Slice& slice : step.slices()) {
        v1::SliceResult* out = result.add_slices();
        if (slice.output() == v1::Slice::OUTPUT_SAMPLE) {
          out->set_token_id(static_cast<int32_t>(step.step_id()));
        }
      }
      if (!stream->Write(result)) break;
    }
    return grpc::Status::OK;
  }

  mutable Mutex mutex_;
  CondVar changed_;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool steps_held_ ABSL_GUARDED_BY(mutex_) = false;
  std::string link_ ABSL_GUARDED_BY(mutex_) = "grpc";
  std::string link_reason_ ABSL_GUARDED_BY(mutex_) = "a fake has no NCCL";
  absl::Status load_status_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::LoadStageRequest> loads_ ABSL_GUARDED_BY(mutex_);
  int unloads_ ABSL_GUARDED_BY(mutex_) = 0;
  LoopbackServer server_{{this}};
};

}  // namespace layercake
