#include "worker/service/activate_reactor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/status.h"

namespace layercake {

ActivateReactor::ActivateReactor(StageHost& host, std::string peer)
    : host_(host), peer_(std::move(peer)) {
  StartRead(&activation_);
}

void ActivateReactor::OnReadDone(bool ok) {
  const absl::Status status = ok ? Take() : absl::OkStatus();
  if (ok && status.ok()) return StartRead(&activation_);
  if (source_ != nullptr) {
    source_->EndOfStream(!status.ok()
                             ? status
                             : absl::UnavailableError(absl::StrCat(
                                   "the link from the previous stage at ", peer_, " has ended")));
  }
  Finish(ToGrpcStatus(status));
}

absl::Status ActivateReactor::Take() {
  if (source_ == nullptr) {
    epoch_ = activation_.epoch();
    LC_ASSIGN_OR_RETURN(source_, host_.OpenSource(epoch_));
  }
  if (activation_.epoch() != epoch_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "an activation of epoch ", activation_.epoch(), " came on a link of epoch ", epoch_));
  }
  return source_->Push(activation_.step_id(), std::move(*activation_.mutable_hidden()));
}

void ActivateReactor::OnDone() { delete this; }

}  // namespace layercake
