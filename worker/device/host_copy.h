#pragma once

// Bytes on their way between a device's memory and the host's, while the device computes on.

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace layercake {

// Made by a device, which must outlive it: some of its memory, and as much of the host's,
// page-locked beside a GPU. On a CPU both are the same, and nothing needs to be copied.
// But for Wait, nothing here waits; what fails is in the device's status().
class HostCopy {
 public:
  // Waits for the copy that was begun last.
  virtual ~HostCopy() = default;

  char* on_device() const { return on_device_; }
  char* on_host() const { return on_host_; }
  // Of either. What was asked for, rounded up to kAllocationBytes.
  int64_t bytes() const { return bytes_; }

  // Begins to copy the first `bytes` to the host, as they are after all that was issued to the
  // device so far; neither is to be touched until Wait has returned. For the thread that issues the
  // device's work.
  virtual void BeginToHost(int64_t bytes) = 0;

  // Begins to copy the first `bytes` to the device, once what Use had issued is done with those
  // before; what is on the host is not to be touched until Wait has returned. Any thread's, also
  // while another one records the device's work.
  virtual void BeginToDevice(int64_t bytes) = 0;

  // Waits for the copy that was begun last. Any thread's. Errors: the device's status().
  virtual absl::Status Wait() = 0;

  // Has the device do what `issue` issues when the copy that was begun last is there. For the
  // thread that issues the device's work, when it does not record it.
  virtual void Use(absl::FunctionRef<void()> issue) = 0;

 protected:
  HostCopy(void* on_device, void* on_host, int64_t bytes)
      : on_device_(static_cast<char*>(on_device)),
        on_host_(static_cast<char*>(on_host)),
        bytes_(bytes) {}

 private:
  char* const on_device_;
  char* const on_host_;
  const int64_t bytes_;
};

}  // namespace layercake
