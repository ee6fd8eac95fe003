#include "worker/transport/nccl_activation_link.h"

#include "common/base/status_macros.h"

namespace layercake {
namespace {

int64_t BytesOf(const TensorView& view) { return view.rows * view.cols * DTypeBytes(view.dtype); }

// Waits for what was issued. A broken pair says why better than the device does.
absl::Status Await(Device& device, const NcclPair& pair) {
  const absl::Status done = device.Finish();
  LC_RETURN_IF_ERROR(pair.status());
  return done;
}

}  // namespace

absl::Status NcclActivationSink::Send(uint64_t /*step_id*/, const TensorView& from) {
  return pair_->Send(device_, from.data, BytesOf(from));
}

absl::Status NcclActivationSink::Finish() { return Await(device_, *pair_); }

void NcclActivationSink::Cancel() {
  pair_->Abort(absl::UnavailableError("the link to the next stage is closed"));
}

absl::Status NcclActivationSource::Receive(uint64_t /*step_id*/, const TensorView& to) {
  LC_RETURN_IF_ERROR(pair_->Receive(device_, to.data, BytesOf(to)));
  return Await(device_, *pair_);
}

void NcclActivationSource::Close(const absl::Status& why) { pair_->Abort(why); }

}  // namespace layercake
