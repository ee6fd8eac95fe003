#include "coordinator/cluster/stage_loader.h"

#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "layercake/v1/stage.grpc.pb.h"

namespace layercake {
namespace {

v1::LoadStageRequest MakeRequest(const LoadJob& job, int stage) {
  v1::LoadStageRequest request;
  request.set_epoch(job.epoch);
  request.set_model_dir(job.model_dir);
  request.set_fingerprint(job.fingerprint);
  *request.mutable_stage() = job.plan.stages(stage);
  request.set_num_blocks(job.plan.num_blocks());
  request.set_block_size_tokens(job.plan.block_size_tokens());
  request.set_max_batch_sequences(job.plan.max_batch_sequences());
  request.set_max_step_tokens(job.plan.max_step_tokens());
  request.set_max_context_tokens(job.plan.max_context_tokens());
  request.set_kv_type(job.plan.kv_type());
  if (stage + 1 < job.plan.stages_size()) request.set_next_address(job.addresses[stage + 1]);
  return request;
}

// The loads of one job: a thread and a call per stage, cancelled together by the first failure.
class Loads {
 public:
  Loads(const LoadJob& job, const std::function<void(const StageProgress&)>& on_progress)
      : job_(job), on_progress_(on_progress), contexts_(job.addresses.size()) {
    for (size_t i = 0; i < contexts_.size(); ++i) {
      const v1::StagePlan& stage = job.plan.stages(static_cast<int>(i));
      v1::LoadModelProgress::Stage progress;
      progress.set_worker(stage.worker());
      progress.set_total_bytes(stage.weight_bytes());
      progress_.push_back(std::move(progress));
    }
    for (size_t i = 0; i < contexts_.size(); ++i) threads_.emplace_back([this, i] { Load(i); });
  }

  absl::Status Wait(const std::function<bool()>& cancelled) {
    {
      MutexLock lock(mutex_);
      while (ended_ < contexts_.size() && status_.ok()) {
        changed_.WaitFor(mutex_, absl::Milliseconds(50));
        if (cancelled()) status_ = absl::CancelledError("the load was given up");
      }
      if (!status_.ok()) {
        for (auto& context : contexts_) context.TryCancel();
      }
    }
    for (std::thread& thread : threads_) thread.join();
    MutexLock lock(mutex_);
    return status_;
  }

 private:
  void Load(size_t stage) {
    auto stub = v1::Stage::NewStub(CreateChannel(job_.addresses[stage]));
    auto reader = stub->Load(&contexts_[stage], MakeRequest(job_, static_cast<int>(stage)));
    v1::LoadStageProgress message;
    while (reader->Read(&message)) {
      MutexLock lock(mutex_);
      progress_[stage].set_loaded_bytes(message.loaded_bytes());
      progress_[stage].set_total_bytes(message.total_bytes());
      progress_[stage].set_done(message.done());
      on_progress_(progress_);
    }
    const absl::Status status = FromGrpcStatus(reader->Finish());
    MutexLock lock(mutex_);
    ++ended_;
    if (!status.ok() && status_.ok()) {
      status_ = absl::Status(status.code(), absl::StrCat("worker ", progress_[stage].worker(), ": ",
                                                         status.message()));
    }
    changed_.NotifyAll();
  }

  const LoadJob& job_;
  const std::function<void(const StageProgress&)>& on_progress_;
  std::vector<grpc::ClientContext> contexts_;
  std::vector<std::thread> threads_;
  Mutex mutex_;
  CondVar changed_;
  size_t ended_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  StageProgress progress_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::Status LoadStages(const LoadJob& job, const std::function<bool()>& cancelled,
                        const std::function<void(const StageProgress&)>& on_progress) {
  const absl::Status status = Loads(job, on_progress).Wait(cancelled);
  if (!status.ok()) UnloadStages(job.addresses);
  return status;
}

void UnloadStages(const std::vector<std::string>& addresses) {
  for (const std::string& address : addresses) {
    auto stub = v1::Stage::NewStub(CreateChannel(address));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
    v1::UnloadStageResponse response;
    stub->Unload(&context, {}, &response).IgnoreError();
  }
}

}  // namespace layercake
