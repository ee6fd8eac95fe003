#pragma once

// The receiving end of a link whose activations are pushed by somebody else's thread.

#include <cstdint>
#include <deque>
#include <string>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "worker/device/device.h"
#include "worker/transport/activation_link.h"

namespace layercake {

// Thread-safe. Holds what came before its step was reached; how much that can be is the
// coordinator's choice of steps in flight.
class ActivationQueue : public ActivationSource {
 public:
  // More than this waiting means a peer that does not keep to the protocol.
  static constexpr size_t kMaxWaiting = 256;

  // `dtype`: of the numbers that are pushed. `device` must outlive the queue.
  ActivationQueue(DType dtype, Device& device) : dtype_(dtype), device_(device) {}

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
    std::string hidden;
  };

  const DType dtype_;
  Device& device_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Arrived> arrived_ ABSL_GUARDED_BY(mutex_);
  absl::Status end_ ABSL_GUARDED_BY(mutex_);     // not OK: after what has arrived comes nothing
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);  // not OK: nothing is received any more
};

}  // namespace layercake
