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

}  // namespace

grpc::Status ServeOpenLink(LinkBroker& broker, OpenLinkStream& stream) {
  v1::OpenLinkRequest request;
  if (!stream.Read(&request) || !request.has_offer()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the first message is no offer");
  }
  const v1::OpenLinkRequest::Offer offer = request.offer();
  if (!Answer(stream, broker.CheckOffer(offer))) return grpc::Status::OK;
  NcclUniqueId id;
  if (!stream.Read(&request) || request.unique_id().size() != sizeof(id.bytes)) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the second message is no unique id");
  }
  std::copy_n(request.unique_id().data(), sizeof(id.bytes), id.bytes);
  const auto pair = broker.Join(offer.epoch(), id);
  if (!Answer(stream, pair.status())) return grpc::Status::OK;
  if (!stream.Read(&request) || !request.use()) return grpc::Status::OK;
  return ToGrpcStatus(
      broker.Agree(offer.epoch(), {*pair, *ActivationDType(offer.activation_type())}));
}

}  // namespace layercake
