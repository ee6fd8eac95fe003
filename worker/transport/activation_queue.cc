#include "worker/transport/activation_queue.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/kernels/convert.h"

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
  const int64_t count = to.rows * to.cols;
  const int64_t bytes = count * DTypeBytes(dtype_);
  if (static_cast<int64_t>(next.hidden.size()) != bytes) {
    return absl::DataLossError(absl::StrCat("what came as the activations of step ", step_id,
                                            " has ", next.hidden.size(), " bytes; ", to.rows,
                                            " tokens of ", to.cols, " values make ", bytes));
  }
  const int64_t own_bytes = count * DTypeBytes(to.dtype);
  if (dtype_ == to.dtype) return device_.CopyFromHost(to, next.hidden.data(), own_bytes);
  if (device_.kind() == DeviceKind::kCpu) {
    ConvertNumbers(next.hidden.data(), dtype_, count, to.data, to.dtype);
    return absl::OkStatus();
  }
  std::vector<float> numbers(count);
  ConvertNumbers(next.hidden.data(), dtype_, count, numbers.data(), to.dtype);
  return device_.CopyFromHost(to, numbers.data(), own_bytes);
}

void ActivationQueue::Close(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (closed_.ok()) closed_ = why;
  arrived_.clear();
  changed_.NotifyAll();
}

}  // namespace layercake
