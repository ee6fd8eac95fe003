#pragma once

// Two workers' ends of one NCCL communicator: nothing waits for ever.

#include <cstdint>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "worker/device/device.h"
#include "worker/transport/nccl_functions.h"

namespace layercake {

// Connect, Send and Receive are one thread's at a time, Abort anybody's, and at any time. Once
// anything has failed the pair is aborted, and every call says what failed first.
class NcclPair {
 public:
  // Rank 0 or 1, with `device`; not connected yet. `nccl` and `device` must outlive the pair.
  NcclPair(const NcclFunctions& nccl, int rank, Device& device)
      : nccl_(nccl), rank_(rank), device_(device) {}
  // Aborts, and waits until that is done.
  ~NcclPair();
  NcclPair(const NcclPair&) = delete;
  NcclPair& operator=(const NcclPair&) = delete;

  int rank() const { return rank_; }

  // Joins the communicator that `id` names; the other end must do so too. Once, first. Errors:
  // Unavailable (what NCCL said); DeadlineExceeded (the other end did not come within `timeout`);
  // what Abort was told.
  absl::Status Connect(const NcclUniqueId& id, absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

  // Issues a copy between `device`, the pair's or another Device on its card, and the other end's
  // call of the opposite kind with as many bytes. It happens in order with all else that is issued
  // to the device. Errors: Unavailable (what NCCL said); what Abort was told.
  absl::Status Send(Device& device, const void* data, int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Receive(Device& device, void* data, int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);

  // OK until something failed or Abort was called.
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Breaks the pair with `why`, which is not OK: copies on either device end soon, with whatever
  // data. Does not wait: NCCL's abort waits for the device, on which what is before the pair's
  // copies may end by the abort of another pair only. Only the first call counts.
  void Abort(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Waits until the call that returned `result` is done.
  absl::Status Settle(int result, const char* what, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Fail(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const NcclFunctions& nccl_;
  const int rank_;
  Device& device_;
  mutable Mutex mutex_;
  CondVar changed_;
  NcclComm* comm_ ABSL_GUARDED_BY(mutex_) = nullptr;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread abort_ ABSL_GUARDED_BY(mutex_);
};

// Sends a pattern there and back and looks at it: what NCCL finds possible need not work (a switch
// that drops peer-to-peer writes, say). Both ends call it at once.
//   device: the pair's, or another Device on the same card, whose stream is then used.
// Errors: DataLoss (other bytes came); DeadlineExceeded; as NcclPair and Device.
absl::Status TestPair(NcclPair& pair, Device& device, absl::Duration timeout);

}  // namespace layercake
