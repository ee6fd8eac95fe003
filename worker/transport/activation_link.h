#pragma once

// The link between two neighbouring stages, seen from either end.
//
// A link lives for one epoch and carries the residual stream of every step, in step order. The two
// ends are two interfaces because a stage's two neighbours may be reached in different ways.

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/status_macros.h"
#include "worker/device/device.h"
#include "worker/device/tensor_view.h"

namespace layercake {

// Where the activations of two steps, taken in turn, pass between the device and a link's thread,
// in the link's data type. The stage's, which outlives its links.
using ActivationSlots = std::array<std::unique_ptr<HostCopy>, 2>;

// With room for `bytes` (> 0) in each. Errors: as Device::CreateHostCopy.
inline absl::StatusOr<ActivationSlots> MakeActivationSlots(int64_t bytes, Device& device) {
  ActivationSlots slots;
  for (std::unique_ptr<HostCopy>& slot : slots) {
    LC_ASSIGN_OR_RETURN(slot, device.CreateHostCopy(bytes, "activations on their way"));
  }
  return slots;
}

// Where a stage's activations come from. Receive is one thread's; Close is anybody's.
class ActivationSource {
 public:
  virtual ~ActivationSource() = default;

  // Waits for the activations of step `step_id` and puts them in `to`, before all that is issued to
  // the device afterwards.
  //   to: [num_tokens, hidden_dim] f32 dense, in the stage's device memory.
  // Errors: Unavailable (the link broke: names the peer); DataLoss (another step's, or of another
  // size); Internal (device failure); what Close said.
  virtual absl::Status Receive(uint64_t step_id, const TensorView& to) = 0;

  // Ends every Receive, now and later, with `why`, which is not OK. Only the first call counts.
  virtual void Close(const absl::Status& why) = 0;
};

// Where a stage's activations go. Send and Finish are one thread's; Cancel is anybody's.
class ActivationSink {
 public:
  virtual ~ActivationSink() = default;

  // Sends the activations of step `step_id`; `from` may be overwritten by what is issued when this
  // returns, though they need not have left. Opens the link at the first call.
  //   from: as `to` above.
  // Errors, of this step or one before: Unavailable (the link broke: names the peer and what it
  // said); Internal (device failure).
  virtual absl::Status Send(uint64_t step_id, const TensorView& from) = 0;

  // Waits until the peer has taken everything sent, and closes the link.
  // Errors: as Send.
  virtual absl::Status Finish() = 0;

  // Breaks the link: Send and Finish, now and later, fail soon.
  virtual void Cancel() = 0;
};

}  // namespace layercake
