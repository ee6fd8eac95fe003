#include "worker/transport/link_offer.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "worker/device/cuda_device.h"

namespace layercake {
namespace {

// A peer that is there, but busy, may need a second attempt to connect.
constexpr std::chrono::seconds kConnectPatience(1);

using Stream = grpc::ClientReaderWriter<v1::OpenLinkRequest, v1::OpenLinkResponse>;

// Errors: FailedPrecondition (the peer refuses: says why); Unavailable (it says nothing).
absl::Status Answer(Stream& stream) {
  v1::OpenLinkResponse answer;
  if (!stream.Read(&answer)) {
    return absl::UnavailableError("the next stage's worker did not answer");
  }
  if (answer.refusal().empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the next stage's worker says: ", answer.refusal()));
}

// The same card once more, with a stream of its own: the one given may be in use.
absl::StatusOr<std::unique_ptr<Device>> Beside(Device& device) {
  if (device.kind() == DeviceKind::kCuda) return Device::CreateCuda(AsCuda(device).index());
  return Device::CreateCpu(1);
}

// Up to where the peer has the id that both ends connect with.
absl::StatusOr<NcclUniqueId> Propose(v1::OpenLinkRequest::Offer offer, const NcclEnd& end,
                                     Stream& stream) {
  absl::Status able = end.functions.status();
  int version = 0;
  if (able.ok() && (*end.functions)->get_version(&version) != kNcclSuccess) {
    able = absl::FailedPreconditionError("NCCL on this end does not know its version");
  }
  offer.set_cannot(std::string(able.message()));
  offer.set_nccl_version(version);
  offer.set_device_uuid(end.device_uuid);
  v1::OpenLinkRequest request;
  *request.mutable_offer() = std::move(offer);
  stream.Write(request);
  LC_RETURN_IF_ERROR(able);
  LC_RETURN_IF_ERROR(Answer(stream));
  NcclUniqueId id;
  if ((*end.functions)->get_unique_id(&id) != kNcclSuccess) {
    return absl::FailedPreconditionError("NCCL on this end makes no unique id");
  }
  request.set_unique_id(id.bytes, sizeof(id.bytes));
  stream.Write(request);
  return id;
}

// The sender's last word.
void Decide(const absl::Status& link, Stream& stream) {
  v1::OpenLinkRequest request;
  if (link.ok()) {
    request.set_use(true);
  } else {
    request.set_gave_up(std::string(link.message()));
  }
  stream.Write(request);
  stream.WritesDone();
}

// From the offer to the decision. The peer's reason goes before this end's.
absl::Status Agree(v1::OpenLinkRequest::Offer offer, const NcclEnd& end, NcclPair* pair,
                   Device& device, Stream& stream) {
  const auto id = Propose(std::move(offer), end, stream);
  if (!id.ok()) {
    Decide(id.status(), stream);
    return id.status();
  }
  absl::Status answer;
  std::thread listening([&] {
    answer = Answer(stream);
    if (!answer.ok()) pair->Abort(answer);
  });
  const absl::Status tested = ConnectAndTest(end, *id, *pair, device);
  // The peer, which may wait for what will not come, hears of a failure at once.
  if (!tested.ok()) Decide(tested, stream);
  listening.join();
  if (!tested.ok()) return absl::IsFailedPrecondition(answer) ? answer : tested;
  Decide(answer, stream);
  return answer;
}

}  // namespace

absl::Status ConnectAndTest(const NcclEnd& end, const NcclUniqueId& id, NcclPair& pair,
                            Device& device) {
  LC_ASSIGN_OR_RETURN(const std::unique_ptr<Device> beside, Beside(device));
  LC_RETURN_IF_ERROR(pair.Connect(id, end.connect_timeout));
  return TestPair(pair, *beside, end.test_timeout);
}

OfferOutcome OfferLink(const std::string& address, v1::OpenLinkRequest::Offer offer,
                       const NcclEnd& end, NcclPair* pair, Device& device,
                       grpc::ClientContext& context) {
  const std::shared_ptr<grpc::Channel> channel = CreateChannel(address);
  channel->WaitForConnected(std::chrono::system_clock::now() + kConnectPatience);
  const auto stub = v1::Stage::NewStub(channel);
  const std::unique_ptr<Stream> stream = stub->OpenLink(&context);
  OfferOutcome outcome;
  outcome.link = Agree(std::move(offer), end, pair, device, *stream);
  for (v1::OpenLinkResponse rest; stream->Read(&rest);) {
  }
  const absl::Status ended = FromGrpcStatus(stream->Finish());
  if (absl::IsFailedPrecondition(ended)) {
    outcome.epoch = absl::FailedPreconditionError(
        absl::StrCat("the worker at ", address, " refuses the link: ", ended.message()));
  } else if (!ended.ok() && outcome.link.ok()) {
    outcome.epoch = absl::UnavailableError(
        absl::StrCat("the worker at ", address, " did not confirm the link: ", ended.message()));
  } else if (absl::IsUnavailable(ended)) {
    // Nor would activations reach it.
    outcome.epoch = absl::UnavailableError(absl::StrCat(
        "the next stage's worker at ", address, " cannot be reached from here (", ended.message(),
        "); see that it is up, its --advertise, and firewalls between the two"));
  } else if (!ended.ok() && pair != nullptr) {
    outcome.link =
        absl::FailedPreconditionError(absl::StrCat(outcome.link.message(), ": ", ended.message()));
  }
  return outcome;
}

}  // namespace layercake
