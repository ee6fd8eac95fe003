#pragma once

// One Activate call: activations in, in step order.

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <string>

#include "layercake/v1/stage.grpc.pb.h"
#include "worker/service/stage_host.h"

namespace layercake {

// Its life: 1. the first activation names the epoch and takes that epoch's source; 2. every
// activation goes to the source; 3. the sender half-closes or breaks the call, or is refused, and
// the source is told that nothing comes any more.
class ActivateReactor final : public grpc::ServerReadReactor<v1::Activation> {
 public:
  ActivateReactor(StageHost& host, std::string peer);

  void OnReadDone(bool ok) override;
  void OnDone() override;

 private:
  absl::Status Take();

  StageHost& host_;
  const std::string peer_;
  v1::Activation activation_;  // of the read in flight
  uint64_t epoch_ = 0;
  // Null before the first activation. Shared with the host: the epoch may end before the call.
  std::shared_ptr<ActivationQueue> source_;
};

}  // namespace layercake
