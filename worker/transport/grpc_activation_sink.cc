#include "worker/transport/grpc_activation_sink.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "worker/kernels/convert.h"

namespace layercake {

GrpcActivationSink::GrpcActivationSink(const std::string& address, uint64_t epoch, DType dtype,
                                       Device& device)
    : address_(address), epoch_(epoch), dtype_(dtype), device_(device) {
  const auto channel = CreateChannel(address);
  channel->GetState(/*try_to_connect=*/true);
  stub_ = v1::Stage::NewStub(channel);
}

GrpcActivationSink::~GrpcActivationSink() {
  Cancel();
  if (writer_ != nullptr && ended_.ok()) writer_->Finish();
}

absl::Status GrpcActivationSink::Send(uint64_t step_id, const TensorView& from) {
  LC_RETURN_IF_ERROR(ended_);
  if (writer_ == nullptr) writer_ = stub_->Activate(&context_, &response_);
  message_.set_epoch(epoch_);
  message_.set_step_id(step_id);
  LC_RETURN_IF_ERROR(Fill(from));
  if (writer_->Write(message_)) return absl::OkStatus();
  (void)End(step_id);
  return ended_;
}

absl::Status GrpcActivationSink::Fill(const TensorView& from) {
  const int64_t count = from.rows * from.cols;
  const int64_t bytes = count * DTypeBytes(from.dtype);
  std::string& hidden = *message_.mutable_hidden();
  hidden.resize(count * DTypeBytes(dtype_));
  if (dtype_ == from.dtype) return device_.CopyToHost(hidden.data(), from, bytes);
  const void* numbers = from.data;
  if (device_.kind() != DeviceKind::kCpu) {
    staged_.resize(count);
    LC_RETURN_IF_ERROR(device_.CopyToHost(staged_.data(), from, bytes));
    numbers = staged_.data();
  }
  ConvertNumbers(numbers, from.dtype, count, hidden.data(), dtype_);
  return absl::OkStatus();
}

absl::Status GrpcActivationSink::Finish() {
  LC_RETURN_IF_ERROR(ended_);
  if (writer_ == nullptr) return absl::OkStatus();
  writer_->WritesDone();
  return End(message_.step_id());
}

// Learns how the call ended; anything but a Finish that went well is a broken link.
absl::Status GrpcActivationSink::End(uint64_t step_id) {
  const grpc::Status status = writer_->Finish();
  writer_ = nullptr;
  ended_ = absl::UnavailableError(absl::StrCat("the link to the next stage at ", address_,
                                               " is closed at step ", step_id,
                                               status.ok() ? "" : ": ", status.error_message()));
  return status.ok() ? absl::OkStatus() : ended_;
}

void GrpcActivationSink::Cancel() { context_.TryCancel(); }

}  // namespace layercake
