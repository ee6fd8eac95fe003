#include "worker/transport/activation_queue.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace layercake {

absl::Status ActivationQueue::Push(uint64_t step_id, std::string hidden) {
  MutexLock lock(mutex_);
  LC_RETURN_IF_ERROR(closed_);
  if (arrived_.size() >= kMaxWaiting) {
    return absl::ResourceExhaustedError(
        absl::StrCat(kMaxWaiting, " activations wait for steps that did not come"));
  }
  arrived_.push_back({step_id, std::move(hidden)});
  changed_.NotifyAll();
  return absl::OkStatus();
}

void ActivationQueue::EndOfStream(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (end_.ok()) end_ = why;
  changed_.NotifyAll();
}

absl::Status ActivationQueue::Receive(uint64_t step_id, const TensorView& to) {
  Arrived next;
  {
    MutexLock lock(mutex_);
    while (arrived_.empty() && end_.ok() && closed_.ok()) changed_.Wait(mutex_);
    LC_RETURN_IF_ERROR(closed_);
    if (arrived_.empty()) return end_;
    next = std::move(arrived_.front());
    arrived_.pop_front();
  }
  if (next.step_id != step_id) {
    return absl::DataLossError(absl::StrCat("activations of step ", next.step_id,
                                            " came where those of step ", step_id, " were due"));
  }
  const int64_t bytes = to.rows * to.cols * DTypeBytes(to.dtype);
  if (static_cast<int64_t>(next.hidden.size()) != bytes) {
    return absl::DataLossError(absl::StrCat("what came as the activations of step ", step_id,
                                            " has ", next.hidden.size(), " bytes; ", to.rows,
                                            " tokens of ", to.cols, " values make ", bytes));
  }
  return device_.CopyFromHost(to, next.hidden.data(), bytes);
}

void ActivationQueue::Close(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (closed_.ok()) closed_ = why;
  arrived_.clear();
  changed_.NotifyAll();
}

}  // namespace layercake
