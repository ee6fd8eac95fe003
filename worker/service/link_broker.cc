#include "worker/service/link_broker.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/transport/grpc_activation_sink.h"
#include "worker/transport/nccl_activation_link.h"

namespace layercake {
namespace {

NcclEnd WithoutIfGrpc(Transport transport, NcclEnd nccl) {
  if (transport == Transport::kGrpc) {
    nccl.functions = absl::FailedPreconditionError("--transport grpc was asked for");
  }
  return nccl;
}

}  // namespace

LinkBroker::LinkBroker(Transport transport, NcclEnd nccl, Device& device)
    : transport_(transport), nccl_(WithoutIfGrpc(transport, std::move(nccl))), device_(device) {}

LinkBroker::Offer::Offer(LinkBroker& broker, uint64_t epoch, const std::string& next_address)
    : broker_(broker), epoch_(epoch), next_address_(next_address) {
  thread_ = std::thread([this] {
    pair_ = OfferLink(next_address_, epoch_, broker_.nccl_, broker_.device_, context_);
  });
}

LinkBroker::Offer::~Offer() {
  if (!thread_.joinable()) return;
  context_.TryCancel();
  thread_.join();
}

absl::StatusOr<OutgoingLink> LinkBroker::Offer::Take(DType activations,
                                                     const ActivationSlots& slots) {
  if (thread_.joinable()) thread_.join();
  if (pair_.ok()) {
    return OutgoingLink{std::make_unique<NcclActivationSink>(*pair_, broker_.device_), "nccl",
                        "both ends have NCCL, and a test of the link passed"};
  }
  if (absl::IsUnavailable(pair_.status())) return pair_.status();
  const std::string why(pair_.status().message());
  if (broker_.transport_ == Transport::kNccl) {
    return absl::FailedPreconditionError(
        absl::StrCat("--transport nccl was asked for, but activations cannot reach ", next_address_,
                     " over NCCL: ", why));
  }
  return OutgoingLink{std::make_unique<GrpcActivationSink>(next_address_, epoch_, activations,
                                                           slots, broker_.device_),
                      "grpc", why};
}

absl::Status LinkBroker::CheckEpoch(uint64_t epoch) const {
  if (epoch >= epoch_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("epoch ", epoch, " is over: this worker is in epoch ", epoch_));
}

absl::Status LinkBroker::CheckOffer(const v1::OpenLinkRequest::Offer& offer) const {
  LC_RETURN_IF_ERROR(nccl_.functions.status());
  int version = 0;
  (*nccl_.functions)->get_version(&version);
  if (version != offer.nccl_version()) {
    return absl::FailedPreconditionError(absl::StrCat("it has NCCL ", version, ", the sender ",
                                                      offer.nccl_version(),
                                                      "; install the same on both"));
  }
  if (!nccl_.device_uuid.empty() && offer.device_uuid() == nccl_.device_uuid &&
      getenv("NCCL_HOSTID") == nullptr) {
    return absl::FailedPreconditionError("both ends are on one GPU, which NCCL does not do");
  }
  MutexLock lock(mutex_);
  return CheckEpoch(offer.epoch());
}

absl::StatusOr<std::shared_ptr<NcclPair>> LinkBroker::Join(const NcclUniqueId& id) {
  return ConnectAndTest(nccl_, id, /*rank=*/1, device_);
}

absl::Status LinkBroker::Agree(uint64_t epoch, std::shared_ptr<NcclPair> pair) {
  MutexLock lock(mutex_);
  LC_RETURN_IF_ERROR(CheckEpoch(epoch));
  agreed_epoch_ = epoch;
  agreed_ = std::move(pair);
  return absl::OkStatus();
}

void LinkBroker::StartEpoch(uint64_t epoch) {
  std::shared_ptr<NcclPair> over;  // closed without the lock
  MutexLock lock(mutex_);
  epoch_ = epoch;
  if (agreed_epoch_ < epoch) over = std::move(agreed_);
}

std::unique_ptr<ActivationSource> LinkBroker::TakeSource(uint64_t epoch) {
  MutexLock lock(mutex_);
  if (agreed_ == nullptr || agreed_epoch_ != epoch) return nullptr;
  return std::make_unique<NcclActivationSource>(std::move(agreed_), device_);
}

}  // namespace layercake
