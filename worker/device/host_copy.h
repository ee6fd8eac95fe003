#pragma once

// Rows on their way out of a device's memory, while it computes on.

#include "absl/status/statusor.h"
#include "worker/device/tensor_view.h"

namespace layercake {

// Made by a device, which must outlive it; has page-locked memory of the host.
class HostCopy {
 public:
  // Waits for the copy that was begun last.
  virtual ~HostCopy() = default;

  // Begins to copy the rows, densely, as they are after all that was issued to the device so far,
  // and returns. What the copy before brought is lost. For the thread that issues the device's
  // work. REQUIRES: they are no larger than the memory; Wait has returned since the Begin before.
  // What fails is in the device's status().
  virtual void Begin(const TensorView& from) = 0;

  // Waits for the copy that was begun last: the rows. Any thread's. Errors: the device's status().
  virtual absl::StatusOr<const void*> Wait() = 0;
};

}  // namespace layercake
