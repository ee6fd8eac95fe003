#include "worker/transport/grpc_activation_sink.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "worker/kernels/convert.h"

namespace layercake {

GrpcActivationSink::GrpcActivationSink(const std::string& address, uint64_t epoch, DType dtype,
                                       const ActivationSlots& slots, Device& device)
    : address_(address), epoch_(epoch), dtype_(dtype), device_(device) {
  for (size_t i = 0; i < slots_.size(); ++i) slots_[i].copy = slots[i].get();
  const auto channel = CreateChannel(address);
  channel->GetState(/*try_to_connect=*/true);
  stub_ = v1::Stage::NewStub(channel);
  thread_ = std::thread([this] { SendThread(); });
}

GrpcActivationSink::~GrpcActivationSink() {
  Cancel();
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
  if (writer_ != nullptr) writer_->Finish();
}

absl::Status GrpcActivationSink::Send(uint64_t step_id, const TensorView& from) {
  bool alone = false;
  {
    MutexLock lock(mutex_);
    while (num_queued_ == slots_.size() && ended_.ok()) changed_.Wait(mutex_);
    LC_RETURN_IF_ERROR(ended_);
    alone = num_queued_ == 0;
  }
  Slot& slot = slots_[next_slot_];
  slot.message.set_epoch(epoch_);
  slot.message.set_step_id(step_id);
  last_step_id_ = step_id;
  Fill(from, slot);
  if (alone && slot.bytes <= kSmallBytes) {
    const absl::Status status = Write(slot);
    MutexLock lock(mutex_);
    ended_ = status;
    return status;
  }
  next_slot_ = (next_slot_ + 1) % slots_.size();
  MutexLock lock(mutex_);
  ++num_queued_;
  changed_.NotifyAll();
  return absl::OkStatus();
}

// What is sent is a copy in the slot, so that the next step may begin; it leaves the device beside.
void GrpcActivationSink::Fill(const TensorView& from, Slot& slot) {
  CHECK(from.dtype == DType::kF32 && from.stride == from.cols);
  const int64_t count = from.rows * from.cols;
  slot.bytes = count * DTypeBytes(dtype_);
  CHECK_LE(slot.bytes, slot.copy->bytes());
  ConvertNumbers(from.data, from.dtype, count, slot.copy->on_device(), dtype_, device_);
  slot.copy->BeginToHost(slot.bytes);
}

absl::Status GrpcActivationSink::Write(Slot& slot) {
  if (const absl::Status status = slot.copy->Wait(); !status.ok()) {
    // The peer would wait for this step, and may hear of it before this stage's next one.
    Cancel();
    return status;
  }
  slot.message.mutable_hidden()->assign(slot.copy->on_host(), static_cast<size_t>(slot.bytes));
  if (writer_ == nullptr) writer_ = stub_->Activate(&context_, &response_);
  if (writer_->Write(slot.message)) return absl::OkStatus();
  const grpc::Status status = std::exchange(writer_, nullptr)->Finish();
  return Closed(status, slot.message.step_id());
}

void GrpcActivationSink::SendThread() {
  for (size_t slot = 0;; slot = (slot + 1) % slots_.size()) {
    {
      MutexLock lock(mutex_);
      while (num_queued_ == 0 && !stopping_) changed_.Wait(mutex_);
      if (stopping_) return;
    }
    const absl::Status status = Write(slots_[slot]);
    MutexLock lock(mutex_);
    --num_queued_;
    ended_ = status;
    changed_.NotifyAll();
    if (!status.ok()) return;
  }
}

absl::Status GrpcActivationSink::Finish() {
  {
    MutexLock lock(mutex_);
    while (num_queued_ > 0 && ended_.ok()) changed_.Wait(mutex_);
    LC_RETURN_IF_ERROR(ended_);
  }
  if (writer_ == nullptr) return absl::OkStatus();
  writer_->WritesDone();
  const grpc::Status status = std::exchange(writer_, nullptr)->Finish();
  MutexLock lock(mutex_);
  ended_ = Closed(status, last_step_id_);
  return status.ok() ? absl::OkStatus() : ended_;
}

absl::Status GrpcActivationSink::Closed(const grpc::Status& status, uint64_t step_id) const {
  return absl::UnavailableError(absl::StrCat("the link to the next stage at ", address_,
                                             " is closed at step ", step_id,
                                             status.ok() ? "" : ": ", status.error_message()));
}

void GrpcActivationSink::Cancel() { context_.TryCancel(); }

}  // namespace layercake
