#pragma once

// The sending end of a link over gRPC: one Stage.Activate call for the epoch.

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "layercake/v1/stage.grpc.pb.h"
#include "worker/device/device.h"
#include "worker/transport/activation_link.h"

namespace layercake {

class GrpcActivationSink : public ActivationSink {
 public:
  // `address`: host:port of the next stage's worker. `dtype`: of the numbers that are sent.
  // `device` must outlive the sink. Connects in the background; the call opens at the first Send,
  // when the peer holds its stage for sure.
  GrpcActivationSink(const std::string& address, uint64_t epoch, DType dtype, Device& device);
  ~GrpcActivationSink() override;

  absl::Status Send(uint64_t step_id, const TensorView& from) override;
  absl::Status Finish() override;
  void Cancel() override;

 private:
  absl::Status Fill(const TensorView& from);
  absl::Status End(uint64_t step_id);

  const std::string address_;
  const uint64_t epoch_;
  const DType dtype_;
  Device& device_;
  std::unique_ptr<v1::Stage::Stub> stub_;
  grpc::ClientContext context_;
  v1::ActivateResponse response_;
  std::unique_ptr<grpc::ClientWriter<v1::Activation>> writer_;  // null before the first Send
  absl::Status ended_;                                          // not OK after the call broke
  v1::Activation message_;     // reused, so that its bytes are taken once
  std::vector<float> staged_;  // out of a device's memory, on their way to 16 bits
};

}  // namespace layercake
