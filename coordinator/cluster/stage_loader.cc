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

constexpr std::chrono::milliseconds kConnectPatience(500);

v1::LoadStageRequest MakeRequest(const LoadJob& job, int stage) {
  v1::LoadStageRequest request;
  request.set_epoch(job.epoch);
  request.set_model_dir(job.model_dir);
  request.set_fingerprint(job.fingerprint);
  *request.mutable_stage() = job.plan.stages(stage);
  request.set_block_size_tokens(job.plan.block_size_tokens());
  request.set_max_batch_sequences(job.plan.max_batch_sequences());
  request.set_max_step_tokens(job.plan.max_step_tokens());
  request.set_max_context_tokens(job.plan.max_context_tokens());
  request.set_kv_type(job.plan.kv_type());
  request.set_activation_type(job.plan.activation_type());
  request.set_weight_type(job.plan.weight_type());
  if (stage + 1 < job.plan.stages_size()) request.set_next_address(job.addresses[stage + 1]);
  return request;
}

// The loads of all jobs: a thread and a call per stage, cancelled together by the first failure.
class Loads {
 public:
  // `jobs` must outlive it.
  Loads(std::vector<LoadJob>& jobs, const std::function<void(const StageProgress&)>& on_progress)
      : on_progress_(on_progress) {
    for (LoadJob& job : jobs) {
      for (int i = 0; i < job.plan.stages_size(); ++i) {
        v1::LoadModelProgress::Stage progress;
        progress.set_worker(job.plan.stages(i).worker());
        progress.set_total_bytes(job.plan.stages(i).weight_bytes());
        progress_.push_back(std::move(progress));
        stages_.push_back({job.addresses[i], MakeRequest(job, i), job.plan.mutable_stages(i)});
      }
    }
    contexts_ = std::vector<grpc::ClientContext>(stages_.size());
    for (size_t i = 0; i < stages_.size(); ++i) threads_.emplace_back([this, i] { Load(i); });
  }

  absl::Status Wait(const std::function<bool()>& cancelled) {
    while (!Ended()) {
      if (cancelled()) Fail(absl::CancelledError("the load was given up"));
    }
    for (std::thread& thread : threads_) thread.join();
    MutexLock lock(mutex_);
    return status_;
  }

 private:
  struct Stage {
    std::string address;
    v1::LoadStageRequest request;
    v1::StagePlan* plan;  // written by the stage's own thread
  };

  // Waits a little for it.
  bool Ended() {
    MutexLock lock(mutex_);
    if (ended_ < stages_.size() && status_.ok()) changed_.WaitFor(mutex_, absl::Milliseconds(50));
    return ended_ == stages_.size() || !status_.ok();
  }

  void Fail(const absl::Status& status) {
    MutexLock lock(mutex_);
    if (!status_.ok()) return;
    status_ = status;
    for (grpc::ClientContext& context : contexts_) context.TryCancel();
    changed_.NotifyAll();
  }

  void Load(size_t stage) {
    const std::shared_ptr<grpc::Channel> channel = CreateChannel(stages_[stage].address);
    // Workers that have joined listen: an attempt to connect that fails is made again. What fails
    // for good, the call says.
    channel->WaitForConnected(std::chrono::system_clock::now() + kConnectPatience);
    auto stub = v1::Stage::NewStub(channel);
    auto reader = stub->Load(&contexts_[stage], stages_[stage].request);
    v1::LoadStageProgress message;
    while (reader->Read(&message)) {
      MutexLock lock(mutex_);
      progress_[stage].set_loaded_bytes(message.loaded_bytes());
      progress_[stage].set_total_bytes(message.total_bytes());
      progress_[stage].set_done(message.done());
      on_progress_(progress_);
    }
    const absl::Status status = FromGrpcStatus(reader->Finish());
    if (status.ok()) {
      stages_[stage].plan->set_link(message.link());
      stages_[stage].plan->set_link_reason(message.link_reason());
    } else {
      const std::string& worker = stages_[stage].request.stage().worker();
      Fail(absl::Status(status.code(), absl::StrCat("worker ", worker, ": ", status.message())));
    }
    MutexLock lock(mutex_);
    ++ended_;
    changed_.NotifyAll();
  }

  const std::function<void(const StageProgress&)>& on_progress_;
  std::vector<Stage> stages_;
  std::vector<grpc::ClientContext> contexts_;
  std::vector<std::thread> threads_;
  Mutex mutex_;
  CondVar changed_;
  size_t ended_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  StageProgress progress_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::Status LoadStages(std::vector<LoadJob>& jobs, const std::function<bool()>& cancelled,
                        const std::function<void(const StageProgress&)>& on_progress) {
  const absl::Status status = Loads(jobs, on_progress).Wait(cancelled);
  if (!status.ok()) {
    for (const LoadJob& job : jobs) UnloadStages(job.addresses);
  }
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
