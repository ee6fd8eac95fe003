#pragma once

// How two neighbours agree on a link over NCCL: the sender's side of Stage.OpenLink, and what both
// do.

#include <grpcpp/client_context.h>

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

// Connects `pair` and tests it. Works on a stream of its own, so that `device` may be busy
// otherwise. Errors: as NcclPair::Connect and TestPair, and the device's.
absl::Status ConnectAndTest(const NcclEnd& end, const NcclUniqueId& id, NcclPair& pair,
                            Device& device);

// What came of an offer.
struct OfferOutcome {
  // Not OK: one end cannot, says which and why, and activations go over gRPC.
  absl::Status link;
  // Not OK: the epoch is lost. FailedPrecondition (the peer does without no such link);
  // Unavailable (the peer cannot be reached, or the call broke: whether it uses the link is not
  // known).
  absl::Status epoch;
};

// Offers the worker at `address` a link; blocks until both ends have tested `pair`, which has rank
// 0, and agreed, or one will not. Ends soon where another thread cancels `context` and aborts
// `pair`.
//   offer: of which epoch, and what the link will carry.
//   pair: null if `end` has no NCCL, which the peer is told.
OfferOutcome OfferLink(const std::string& address, v1::OpenLinkRequest::Offer offer,
                       const NcclEnd& end, NcclPair* pair, Device& device,
                       grpc::ClientContext& context);

}  // namespace layercake
