#include "worker/service/open_link.h"

#include <algorithm>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/model/activation_type.h"
#include "common/rpc/status.h"
#include "worker/transport/link_offer.h"

namespace layercake {
namespace {

bool Answer(OpenLinkStream& stream, const absl::Status& status) {
  v1::OpenLinkResponse answer;
  if (!status.ok()) answer.set_refusal(std::string(status.message()));
  return stream.Write(answer) && status.ok();
}

// The sender's last word. Errors: Cancelled (it gave the link up).
absl::Status Decision(OpenLinkStream& stream) {
  v1::OpenLinkRequest request;
  if (!stream.Read(&request)) return absl::CancelledError("the sender gave the link up");
  if (request.use()) return absl::OkStatus();
  return absl::CancelledError(absl::StrCat("the sender gave the link up: ", request.gave_up()));
}

}  // namespace

grpc::Status ServeOpenLink(LinkBroker& broker, OpenLinkStream& stream) {
  v1::OpenLinkRequest request;
  if (!stream.Read(&request) || !request.has_offer()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the first message is no offer");
  }
  const v1::OpenLinkRequest::Offer offer = request.offer();
  const absl::Status willing = broker.CheckOffer(offer);
  if (!Answer(stream, willing)) return ToGrpcStatus(broker.DoWithout(willing));
  if (!stream.Read(&request) || !request.has_unique_id()) {
    return ToGrpcStatus(broker.DoWithout(absl::CancelledError("the sender gave the link up")));
  }
  NcclUniqueId id;
  if (request.unique_id().size() != sizeof(id.bytes)) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "that is no unique id of NCCL's");
  }
  std::copy_n(request.unique_id().data(), sizeof(id.bytes), id.bytes);
  const std::shared_ptr<NcclPair> pair = broker.MakePair(/*rank=*/1);
  absl::Status decision;
  std::thread listening([&] {
    decision = Decision(stream);
    if (!decision.ok()) pair->Abort(decision);
  });
  const absl::Status joined = broker.Join(offer.epoch(), id, pair);
  // A sender that gave up knows why.
  if (!absl::IsCancelled(joined)) Answer(stream, joined);
  listening.join();
  if (!joined.ok()) return ToGrpcStatus(broker.DoWithout(joined));
  if (!decision.ok()) return ToGrpcStatus(broker.DoWithout(decision));
  return ToGrpcStatus(
      broker.Agree(offer.epoch(), {pair, *ActivationDType(offer.activation_type())}));
}

}  // namespace layercake
