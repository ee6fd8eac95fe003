#pragma once

// The receiving end of a link whose activations are pushed by somebody else's thread.

#include <cstdint>
#include <deque>
#include <string>
#include <tuple>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "worker/device/device.h"
#include "worker/transport/activation_link.h"

namespace layercake {

// Thread-safe. Holds what came before its step was reached; how much that can be is the
// coordinator's choice of steps in flight. The copy to the device begins when activations come, if
// a slot is free: that of the step in hand is not before the next one is asked for.
class ActivationQueue : public ActivationSource {
 public:
  // More than this waiting means a peer that does not keep to the protocol.
  static constexpr size_t kMaxWaiting = 256;

  // `dtype`: of the numbers that are pushed. `slots`: of `device`, with room for any step's; they
  // are not touched any more once Close and Receive have returned.
  ActivationQueue(DType dtype, const ActivationSlots& slots, Device& device)
      : dtype_(dtype), slots_(slots), device_(device) {}

  // Adds the activations of step `step_id`: [num_tokens, hidden_dim], little-endian.
  // Errors: ResourceExhausted (kMaxWaiting); what Close said.
  absl::Status Push(uint64_t step_id, std::string hidden) ABSL_LOCKS_EXCLUDED(mutex_);

  // No more will be pushed: `why` is what Receive says once the queue is empty.
  void EndOfStream(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Status Receive(uint64_t step_id, const TensorView& to) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Close(const absl::Status& why) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Arrived {
    uint64_t step_id;
    int64_t bytes;
    std::string hidden;  // empty once it is in a slot
  };

  // Begins to copy what arrived first, as far as slots are free.
  void BeginCopies() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const DType dtype_;
  const ActivationSlots& slots_;
  Device& device_;
  HostCopy* in_use_ = nullptr;  // Receive's: the slot of the step in hand
  Mutex mutex_;
  CondVar changed_;
  std::deque<Arrived> arrived_ ABSL_GUARDED_BY(mutex_);
  size_t num_copied_ ABSL_GUARDED_BY(mutex_) = 0;  // of them, in slots
  size_t next_slot_ ABSL_GUARDED_BY(mutex_) = 0;   // of what arrives first
  size_t num_free_ ABSL_GUARDED_BY(mutex_) = std::tuple_size_v<ActivationSlots>;
  absl::Status end_ ABSL_GUARDED_BY(mutex_);     // not OK: after what has arrived comes nothing
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);  // not OK: nothing is received any more
};

}  // namespace layercake
