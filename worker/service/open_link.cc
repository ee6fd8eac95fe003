#include "worker/service/open_link.h"

#include <algorithm>
#include <memory>
#include <string>

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

grpc::Status GivenUp(const LinkBroker& broker) {
  return ToGrpcStatus(
      broker.DoWithout(absl::FailedPreconditionError("the sender gave the link up")));
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
  if (!stream.Read(&request) || !request.has_unique_id()) return GivenUp(broker);
  NcclUniqueId id;
  if (request.unique_id().size() != sizeof(id.bytes)) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "that is no unique id of NCCL's");
  }
  std::copy_n(request.unique_id().data(), sizeof(id.bytes), id.bytes);
  const auto pair = broker.Join(offer.epoch(), id);
  if (!Answer(stream, pair.status())) return ToGrpcStatus(broker.DoWithout(pair.status()));
  if (!stream.Read(&request) || !request.use()) return GivenUp(broker);
  return ToGrpcStatus(
      broker.Agree(offer.epoch(), {*pair, *ActivationDType(offer.activation_type())}));
}

}  // namespace layercake
