#include "coordinator/cli/cluster_loader.h"

#include <algorithm>

#include "common/base/status_macros.h"
#include "coordinator/cli/load_progress.h"

namespace layercake {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(100);

absl::Status GaveUp() { return absl::CancelledError("stopped while loading"); }

}  // namespace

ClusterLoader::ClusterLoader(const std::string& address, int num_workers,
                             const v1::LoadModelRequest& request, std::ostream* terminal)
    : connection_(address),
      num_workers_(num_workers),
      request_(request),
      terminal_(terminal),
      result_(GaveUp()) {
  thread_ = std::thread([this] {
    result_ = Load();
    ended_ = true;
  });
}

ClusterLoader::~ClusterLoader() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
    changed_.NotifyAll();
  }
  thread_.join();
}

bool ClusterLoader::Enter(grpc::ClientContext& context) {
  MutexLock lock(mutex_);
  if (stopping_) return false;
  context_ = &context;
  return true;
}

void ClusterLoader::Leave() {
  MutexLock lock(mutex_);
  context_ = nullptr;
}

absl::StatusOr<v1::Plan> ClusterLoader::Load() {
  LC_RETURN_IF_ERROR(WaitForWorkers());
  grpc::ClientContext context;
  if (!Enter(context)) return GaveUp();
  absl::StatusOr<v1::Plan> plan = LoadModel(connection_, context, request_, terminal_);
  Leave();
  return plan;
}

absl::Status ClusterLoader::WaitForWorkers() {
  while (true) {
    grpc::ClientContext context;
    SetTimeout(context, kCallTimeout);
    v1::ClusterStatus status;
    if (!Enter(context)) return GaveUp();
    const grpc::Status answer =
        connection_.admin().GetStatus(&context, v1::GetStatusRequest(), &status);
    Leave();
    LC_RETURN_IF_ERROR(connection_.Explain(answer));
    const auto joined = std::count_if(
        status.workers().begin(), status.workers().end(),
        [](const v1::WorkerStatus& worker) { return worker.state() != v1::WORKER_STATE_LOST; });
    if (joined >= num_workers_) return absl::OkStatus();
    if (terminal_ != nullptr) {
      *terminal_ << "\r\033[K" << joined << " of " << num_workers_
                 << " workers have measured their device and joined" << std::flush;
    }
    MutexLock lock(mutex_);
    if (!stopping_) changed_.WaitFor(mutex_, kPoll);
    if (stopping_) return GaveUp();
  }
}

}  // namespace layercake
