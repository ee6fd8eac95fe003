#include "worker/transport/activation_queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

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
  const auto bytes = static_cast<int64_t>(hidden.size());
  arrived_.push_back({step_id, bytes, std::move(hidden)});
  BeginCopies();
  changed_.NotifyAll();
  return absl::OkStatus();
}

void ActivationQueue::EndOfStream(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (end_.ok()) end_ = why;
  changed_.NotifyAll();
}

void ActivationQueue::BeginCopies() {
  for (; num_free_ > 0 && num_copied_ < arrived_.size(); --num_free_, ++num_copied_) {
    HostCopy& slot = *slots_[(next_slot_ + num_copied_) % slots_.size()];
    const std::string hidden = std::exchange(arrived_[num_copied_].hidden, "");
    // What is too large is refused by Receive.
    const auto bytes = std::min<int64_t>(slot.bytes(), std::ssize(hidden));
    std::memcpy(slot.on_host(), hidden.data(), static_cast<size_t>(bytes));
    slot.BeginToDevice(bytes);
  }
}

absl::Status ActivationQueue::Receive(uint64_t step_id, const TensorView& to) {
  const bool free_slot = in_use_ != nullptr;
  if (free_slot) LC_RETURN_IF_ERROR(std::exchange(in_use_, nullptr)->Wait());
  Arrived next;
  {
    MutexLock lock(mutex_);
    LC_RETURN_IF_ERROR(closed_);
    num_free_ += free_slot ? 1 : 0;
    BeginCopies();
    while (arrived_.empty() && end_.ok() && closed_.ok()) changed_.Wait(mutex_);
    LC_RETURN_IF_ERROR(closed_);
    if (arrived_.empty()) return end_;
    next = std::move(arrived_.front());
    arrived_.pop_front();
    --num_copied_;
    in_use_ = slots_[next_slot_].get();
    next_slot_ = (next_slot_ + 1) % slots_.size();
  }
  if (next.step_id != step_id) {
    return absl::DataLossError(absl::StrCat("activations of step ", next.step_id,
                                            " came where those of step ", step_id, " were due"));
  }
  const int64_t count = to.rows * to.cols;
  const int64_t bytes = count * DTypeBytes(dtype_);
  if (next.bytes != bytes) {
    return absl::DataLossError(absl::StrCat("what came as the activations of step ", step_id,
                                            " has ", next.bytes, " bytes; ", to.rows, " tokens of ",
                                            to.cols, " values make ", bytes));
  }
  in_use_->Use(
      [&] { ConvertNumbers(in_use_->on_device(), dtype_, count, to.data, to.dtype, device_); });
  return device_.status();
}

void ActivationQueue::Close(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (closed_.ok()) closed_ = why;
  arrived_.clear();
  num_copied_ = num_free_ = 0;
  changed_.NotifyAll();
}

}  // namespace layercake
