#pragma once

// How two neighbours agree on a link over NCCL: the sender's side of Stage.OpenLink, and what both
// do.

#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "layercake/v1/stage.grpc.pb.h"
#include "worker/device/device.h"
#include "worker/transport/nccl_pair.h"

namespace layercake {

// What a worker brings to such a link.
struct NcclEnd {
  // Or why it has no NCCL: no library, no GPU, or the operator wants none.
  absl::StatusOr<const NcclFunctions*> functions = absl::UnimplementedError("no NCCL");
  std::string device_uuid;  // of its GPU
  absl::Duration connect_timeout = absl::Seconds(20);
  absl::Duration test_timeout = absl::Seconds(10);
};

// Connects as `rank` and tests the pair. Works on a stream of its own, so that `device` may be busy
// otherwise. Errors: as NcclPair::Connect and TestPair, and the device's.
absl::StatusOr<std::shared_ptr<NcclPair>> ConnectAndTest(const NcclEnd& end, const NcclUniqueId& id,
                                                         int rank, Device& device);

// Offers the worker at `address` a link for `epoch`; blocks until both ends have tested it and
// agreed, or one will not. `context` may be cancelled by another thread. Errors: FailedPrecondition
// (one end cannot: says which and why); Unavailable (the call broke: the peer may have agreed, and
// the epoch is lost); as ConnectAndTest.
absl::StatusOr<std::shared_ptr<NcclPair>> OfferLink(const std::string& address, uint64_t epoch,
                                                    const NcclEnd& end, Device& device,
                                                    grpc::ClientContext& context);

}  // namespace layercake
