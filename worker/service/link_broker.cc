#include "worker/service/link_broker.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/model/activation_type.h"
#include "worker/transport/grpc_activation_sink.h"

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

std::shared_ptr<NcclPair> LinkBroker::MakePair(int rank) const {
  if (!nccl_.functions.ok()) return nullptr;
  return std::make_shared<NcclPair>(**nccl_.functions, rank, device_);
}

LinkBroker::Offer::Offer(LinkBroker& broker, uint64_t epoch, const std::string& next_address,
                         DType activations)
    : broker_(broker),
      epoch_(epoch),
      next_address_(next_address),
      activations_(activations),
      pair_(broker.MakePair(/*rank=*/0)) {
  thread_ = std::thread([this] {
    v1::OpenLinkRequest::Offer offer;
    offer.set_epoch(epoch_);
    offer.set_activation_type(ActivationTypeOf(activations_));
    outcome_ =
        OfferLink(next_address_, offer, broker_.nccl_, pair_.get(), broker_.device_, context_);
    MutexLock lock(mutex_);
    ended_ = true;
    changed_.NotifyAll();
  });
}

LinkBroker::Offer::~Offer() {
  if (!thread_.joinable()) return;
  GiveUp();
  thread_.join();
}

void LinkBroker::Offer::GiveUp() {
  context_.TryCancel();
  if (pair_ != nullptr) pair_->Abort(absl::CancelledError("the offer of the link was given up"));
}

bool LinkBroker::Offer::WaitFor(absl::Duration timeout) {
  MutexLock lock(mutex_);
  if (!ended_) changed_.WaitFor(mutex_, timeout);
  return ended_;
}

absl::StatusOr<OutgoingLink> LinkBroker::Offer::Take(const ActivationSlots& slots) {
  thread_.join();
  LC_RETURN_IF_ERROR(outcome_.epoch);
  if (outcome_.link.ok()) {
    return OutgoingLink{
        std::make_unique<NcclActivationSink>(NcclLink{pair_, activations_}, slots, broker_.device_),
        "nccl", "both ends have NCCL, and a test of the link passed"};
  }
  const std::string why(outcome_.link.message());
  if (broker_.transport_ == Transport::kNccl) {
    return absl::FailedPreconditionError(
        absl::StrCat("--transport nccl was asked for, but activations cannot reach ", next_address_,
                     " over NCCL: ", why));
  }
  return OutgoingLink{std::make_unique<GrpcActivationSink>(next_address_, epoch_, activations_,
                                                           slots, broker_.device_),
                      "grpc", why};
}

absl::Status LinkBroker::CheckEpoch(uint64_t epoch) const {
  if (stopped_) return absl::FailedPreconditionError("this worker is stopping");
  if (epoch >= epoch_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("epoch ", epoch, " is over: this worker is in epoch ", epoch_));
}

absl::Status LinkBroker::DoWithout(const absl::Status& why) const {
  if (transport_ != Transport::kNccl) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("it takes activations over NCCL only (--transport nccl), and that cannot be: ",
                   why.message()));
}

absl::Status LinkBroker::CheckOffer(const v1::OpenLinkRequest::Offer& offer) const {
  if (!offer.cannot().empty()) {
    return absl::FailedPreconditionError(absl::StrCat("the sender says: ", offer.cannot()));
  }
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
  LC_RETURN_IF_ERROR(ActivationDType(offer.activation_type()).status());
  MutexLock lock(mutex_);
  return CheckEpoch(offer.epoch());
}

absl::Status LinkBroker::Join(uint64_t epoch, const NcclUniqueId& id,
                              const std::shared_ptr<NcclPair>& pair) {
  {
    MutexLock lock(mutex_);
    LC_RETURN_IF_ERROR(CheckEpoch(epoch));
    joining_.push_back({epoch, pair});
  }
  const absl::Status status = ConnectAndTest(nccl_, id, *pair, device_);
  MutexLock lock(mutex_);
  std::erase_if(joining_, [&](const Joining& joining) { return joining.pair == pair; });
  return status;
}

absl::Status LinkBroker::Agree(uint64_t epoch, NcclLink link) {
  NcclLink over;  // closed without the lock
  MutexLock lock(mutex_);
  LC_RETURN_IF_ERROR(CheckEpoch(epoch));
  agreed_epoch_ = epoch;
  over = std::exchange(agreed_, std::move(link));
  return absl::OkStatus();
}

void LinkBroker::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  for (const Joining& joining : joining_) {
    joining.pair->Abort(absl::AbortedError("this worker is stopping"));
  }
}

void LinkBroker::StartEpoch(uint64_t epoch) {
  NcclLink over;  // closed without the lock
  MutexLock lock(mutex_);
  epoch_ = epoch;
  if (agreed_epoch_ < epoch) over = std::exchange(agreed_, {});
  for (const Joining& joining : joining_) {
    if (joining.epoch < epoch) joining.pair->Abort(absl::AbortedError("the epoch is over"));
  }
}

std::unique_ptr<ActivationSource> LinkBroker::TakeSource(uint64_t epoch,
                                                         const ActivationSlots& slots) {
  MutexLock lock(mutex_);
  if (agreed_.pair == nullptr || agreed_epoch_ != epoch) return nullptr;
  return std::make_unique<NcclActivationSource>(std::exchange(agreed_, {}), slots, device_);
}

}  // namespace layercake
