#pragma once

// Chooses what a stage's activations travel over: NCCL where both ends can, else gRPC.

#include <grpcpp/client_context.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "layercake/v1/stage.pb.h"
#include "worker/device/device.h"
#include "worker/transport/activation_link.h"
#include "worker/transport/link_offer.h"
#include "worker/transport/nccl_activation_link.h"

namespace layercake {

// What the operator wants.
enum class Transport { kAuto, kNccl, kGrpc };

struct OutgoingLink {
  std::unique_ptr<ActivationSink> sink;
  std::string name;    // "nccl" or "grpc"
  std::string reason;  // why this one
};

// Thread-safe. A worker's one broker serves both of its stage's ends.
class LinkBroker {
 public:
  // `device` must outlive the broker and its links.
  LinkBroker(Transport transport, NcclEnd nccl, Device& device);

  // The sending end: an offer to the next stage's worker, which takes its time while the stage
  // loads.
  class Offer {
   public:
    // `activations`: of the numbers that the link carries.
    Offer(LinkBroker& broker, uint64_t epoch, const std::string& next_address, DType activations);
    // Gives up what was not taken.
    ~Offer();
    Offer(const Offer&) = delete;
    Offer& operator=(const Offer&) = delete;

    // Has the offer end soon, with no link. Anybody's, and does not wait.
    void GiveUp();

    // Returns after `timeout` at the latest: whether there is an outcome.
    bool WaitFor(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

    // Waits for the outcome. `slots`: with room for any step's numbers; they must outlive the sink.
    // Errors: FailedPrecondition (the operator, here or there, wants NCCL only, and why it cannot
    // be); Unavailable (the other end cannot be reached, or whether it uses the link is not known).
    // REQUIRES: called once.
    absl::StatusOr<OutgoingLink> Take(const ActivationSlots& slots);

   private:
    LinkBroker& broker_;
    const uint64_t epoch_;
    const std::string next_address_;
    const DType activations_;
    grpc::ClientContext context_;
    const std::shared_ptr<NcclPair> pair_;  // null: this end has no NCCL. Shared with the sink
    OfferOutcome outcome_;                  // the thread's until it has ended
    Mutex mutex_;
    CondVar changed_;
    bool ended_ ABSL_GUARDED_BY(mutex_) = false;
    std::thread thread_;
  };

  // The receiving end, whose epoch may not have begun here: both ends load at once. Errors:
  // FailedPrecondition (the epoch is over, or this end cannot: says why).
  absl::Status CheckOffer(const v1::OpenLinkRequest::Offer& offer) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Of an offer that came to nothing: `why`. Errors: FailedPrecondition (the operator wants NCCL
  // only).
  absl::Status DoWithout(const absl::Status& why) const;
  // A pair to be connected, or null: this end has no NCCL. Shared with whoever may abort it.
  std::shared_ptr<NcclPair> MakePair(int rank) const;
  // Connects `pair`, of rank 1, and tests it. Errors: as ConnectAndTest; FailedPrecondition (the
  // epoch is over); Aborted (Stop, or the epoch ends).
  absl::Status Join(uint64_t epoch, const NcclUniqueId& id, const std::shared_ptr<NcclPair>& pair)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Makes `link` what TakeSource of that epoch returns. Errors: FailedPrecondition (the epoch is
  // over).
  absl::Status Agree(uint64_t epoch, NcclLink link) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends every Join, now and later.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Epochs before this one are over.
  void StartEpoch(uint64_t epoch) ABSL_LOCKS_EXCLUDED(mutex_);
  // Null where activations come by Activate. `slots`: as Take's.
  std::unique_ptr<ActivationSource> TakeSource(uint64_t epoch, const ActivationSlots& slots)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Joining {
    uint64_t epoch;
    std::shared_ptr<NcclPair> pair;  // shared with Join
  };

  absl::Status CheckEpoch(uint64_t epoch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Transport transport_;
  const NcclEnd nccl_;
  Device& device_;
  mutable Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Joining> joining_ ABSL_GUARDED_BY(mutex_);
  uint64_t agreed_epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  NcclLink agreed_ ABSL_GUARDED_BY(mutex_);  // the pair is null where there is none
};

}  // namespace layercake
