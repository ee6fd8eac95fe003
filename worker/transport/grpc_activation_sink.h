#pragma once

// The sending end of a link over gRPC: one Stage.Activate call for the epoch.

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <tuple>

#include "common/base/mutex.h"
#include "layercake/v1/stage.grpc.pb.h"
#include "worker/device/device.h"
#include "worker/transport/activation_link.h"

namespace layercake {

// Two steps may be on their way at once, so that the stage computes the next one meanwhile; Send
// waits where there are more. What is small is sent by Send itself, if nothing is before it.
class GrpcActivationSink : public ActivationSink {
 public:
  // At most so much is small: it leaves in less time than handing it to a thread takes.
  static constexpr int64_t kSmallBytes = 64 << 10;

  // `address`: host:port of the next stage's worker. `dtype`: of the numbers that are sent.
  // `slots`: of `device`, with room for any step's; both must outlive the sink. Connects in the
  // background; the call opens with the first step, when the peer holds its stage for sure.
  GrpcActivationSink(const std::string& address, uint64_t epoch, DType dtype,
                     const ActivationSlots& slots, Device& device);
  ~GrpcActivationSink() override;

  absl::Status Send(uint64_t step_id, const TensorView& from) override;
  absl::Status Finish() override;
  void Cancel() override;

 private:
  // A step's way from the device to the call.
  struct Slot {
    HostCopy* copy = nullptr;
    int64_t bytes = 0;
    v1::Activation message;  // reused, so that its bytes are taken once
  };

  void Fill(const TensorView& from, Slot& slot);
  absl::Status Write(Slot& slot);
  // That a call is over, which ended with `status`.
  absl::Status Closed(const grpc::Status& status, uint64_t step_id) const;
  void SendThread();

  const std::string address_;
  const uint64_t epoch_;
  const DType dtype_;
  Device& device_;
  std::unique_ptr<v1::Stage::Stub> stub_;
  grpc::ClientContext context_;
  v1::ActivateResponse response_;

  // Of whoever's turn it is: the thread's while slots are queued, else Send's and Finish's.
  std::unique_ptr<grpc::ClientWriter<v1::Activation>> writer_;  // null before the first step

  std::array<Slot, std::tuple_size_v<ActivationSlots>> slots_;
  size_t next_slot_ = 0;  // that Send fills
  uint64_t last_step_id_ = 0;
  Mutex mutex_;
  CondVar changed_;
  size_t num_queued_ ABSL_GUARDED_BY(mutex_) = 0;  // slots before next_slot_, for the thread
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status ended_ ABSL_GUARDED_BY(mutex_);  // not OK after the call, or a step, is lost
  std::thread thread_;
};

}  // namespace layercake
