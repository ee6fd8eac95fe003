#pragma once

// The device that a worker's stage lives on.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/device/buffer.h"
#include "worker/device/isa.h"
#include "worker/device/tensor_view.h"
#include "worker/device/thread_pool.h"

namespace layercake {

enum class DeviceKind { kCpu };

struct DeviceMemory {
  int64_t total_bytes = 0;
  // What could be allocated now: on a CPU the smaller of the host's available memory and what the
  // process's cgroups leave.
  int64_t free_bytes = 0;
};

// Thread-safe but for the kernels that run on it, which one thread issues at a time.
class Device {
 public:
  // The host's processor, computing with `num_threads` threads (0: as many as the process may run
  // on) and the kernels of `isa`, which do not differ in any bit of their results.
  // Errors: InvalidArgument (threads negative, or above 1024; an ISA that does not run here).
  static absl::StatusOr<std::unique_ptr<Device>> CreateCpu(int num_threads,
                                                           CpuIsa isa = BestCpuIsa());

  DeviceKind kind() const { return kind_; }
  // "Intel(R) Xeon(R) Processor".
  const std::string& name() const { return name_; }
  CpuIsa isa() const { return isa_; }
  int num_threads() const { return pool_.num_threads(); }
  ThreadPool& pool() { return pool_; }
  DeviceMemory Memory() const;

  // Takes `bytes` (> 0, rounded up to kAllocationBytes) of zeroed memory; `purpose` names it in the
  // error. Every page is there when this returns.
  // Errors: ResourceExhausted, with what was asked for and what is free.
  absl::StatusOr<Buffer> Allocate(int64_t bytes, absl::string_view purpose);

  // Copies dense rows between host memory and the device, and waits for it.
  // REQUIRES: `bytes` is the size of the view's rows, which are dense (stride == cols).
  void CopyFromHost(const TensorView& to, const void* from, int64_t bytes);
  void CopyToHost(void* to, const TensorView& from, int64_t bytes);

 private:
  Device(DeviceKind kind, std::string name, CpuIsa isa, int num_threads)
      : kind_(kind), name_(std::move(name)), isa_(isa), pool_(num_threads) {}

  const DeviceKind kind_;
  const std::string name_;
  const CpuIsa isa_;
  ThreadPool pool_;
};

}  // namespace layercake
