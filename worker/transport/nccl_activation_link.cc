#include "worker/transport/nccl_activation_link.h"

#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "worker/kernels/convert.h"

namespace layercake {
namespace {

int64_t BytesOf(const TensorView& view, DType dtype) {
  return view.rows * view.cols * DTypeBytes(dtype);
}

// All that touches it is issued to the device, in order, so that one of the two slots will do.
char* SlotOf(const ActivationSlots& slots, int64_t bytes) {
  CHECK_LE(bytes, slots[0]->bytes());
  return slots[0]->on_device();
}

// Waits for what was issued. A broken pair says why better than the device does.
absl::Status Await(Device& device, const NcclPair& pair) {
  const absl::Status done = device.Finish();
  LC_RETURN_IF_ERROR(pair.status());
  return done;
}

}  // namespace

absl::Status NcclActivationSink::Send(uint64_t /*step_id*/, const TensorView& from) {
  const int64_t bytes = BytesOf(from, link_.dtype);
  if (link_.dtype == from.dtype) return link_.pair->Send(device_, from.data, bytes);
  char* const slot = SlotOf(slots_, bytes);
  ConvertNumbers(from.data, from.dtype, from.rows * from.cols, slot, link_.dtype, device_);
  return link_.pair->Send(device_, slot, bytes);
}

absl::Status NcclActivationSink::Finish() { return Await(device_, *link_.pair); }

void NcclActivationSink::Cancel() {
  link_.pair->Abort(absl::UnavailableError("the link to the next stage is closed"));
}

absl::Status NcclActivationSource::Receive(uint64_t /*step_id*/, const TensorView& to) {
  const int64_t bytes = BytesOf(to, link_.dtype);
  if (link_.dtype == to.dtype) {
    LC_RETURN_IF_ERROR(link_.pair->Receive(device_, to.data, bytes));
  } else {
    char* const slot = SlotOf(slots_, bytes);
    LC_RETURN_IF_ERROR(link_.pair->Receive(device_, slot, bytes));
    ConvertNumbers(slot, link_.dtype, to.rows * to.cols, to.data, to.dtype, device_);
  }
  return Await(device_, *link_.pair);
}

void NcclActivationSource::Close(const absl::Status& why) { link_.pair->Abort(why); }

}  // namespace layercake
