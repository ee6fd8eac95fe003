#pragma once

// The device that a worker's stage lives on.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/device/buffer.h"
#include "worker/device/host_copy.h"
#include "worker/device/isa.h"
#include "worker/device/tensor_view.h"
#include "worker/device/thread_pool.h"

namespace layercake {

enum class DeviceKind { kCpu, kCuda };

struct DeviceMemory {
  int64_t total_bytes = 0;
  // What could be allocated now: on a CPU the smaller of the host's available memory and what the
  // process's cgroups leave; on a GPU what its driver says.
  int64_t free_bytes = 0;
};

// A device works through what it is given in order, perhaps later: ops only begin it. What a host
// thread reads must be fetched by CopyToHost. Where something fails, everything after it does too,
// with the same status.
// Thread-safe but for ops and copies, which one thread issues at a time.
class Device {
 public:
  // The host's processor, computing with `num_threads` threads (0: as many as the process may run
  // on) and the kernels of `isa`, which do not differ in any bit of their results.
  // Errors: InvalidArgument (threads negative, or above 1024; an ISA that does not run here).
  static absl::StatusOr<std::unique_ptr<Device>> CreateCpu(int num_threads,
                                                           CpuIsa isa = BestCpuIsa());

  // The CUDA device of that index; see cuda_device.h. `num_threads`: on the host, beside it.
  // Errors: Unimplemented (this build has no CUDA, or no code for that card); NotFound (no such
  // device, no driver); Unavailable (in use by a process that shares it with nobody);
  // ResourceExhausted (its memory is full); Internal (says what CUDA said); InvalidArgument
  // (threads as above).
  static absl::StatusOr<std::unique_ptr<Device>> CreateCuda(int index, int num_threads = 1);

  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  DeviceKind kind() const { return kind_; }
  // "Intel(R) Xeon(R) Processor", "Tesla M40".
  const std::string& name() const { return name_; }

  // The host's threads and their instruction set: a CPU's kernels run on them; beside a GPU they
  // prepare its steps and sample.
  CpuIsa isa() const { return isa_; }
  int num_threads() const { return pool_.num_threads(); }
  ThreadPool& pool() { return pool_; }

  virtual DeviceMemory Memory() const = 0;

  // Takes `bytes` (> 0, rounded up to kAllocationBytes) of zeroed memory; `purpose` names it in the
  // error. On a CPU every page is there when this returns.
  // Errors: ResourceExhausted, with what was asked for and what is free; status().
  virtual absl::StatusOr<Buffer> Allocate(int64_t bytes, absl::string_view purpose) = 0;

  // As much zeroed memory of the host, which this device copies from and to at full speed.
  // Errors: ResourceExhausted.
  virtual absl::StatusOr<Buffer> AllocateHost(int64_t bytes, absl::string_view purpose) = 0;

  // Of `bytes` (> 0) of both. Errors: as Allocate and AllocateHost.
  virtual absl::StatusOr<std::unique_ptr<HostCopy>> CreateHostCopy(int64_t bytes,
                                                                   absl::string_view purpose) = 0;

  // Copies rows between host memory, where they are dense, and the device. Both wait for it; from
  // the host, `from` may be reused at once, though what was issued before may still run.
  // REQUIRES: `bytes` is the size of the view's rows without what lies between them.
  // Errors: status().
  virtual absl::Status CopyFromHost(const TensorView& to, const void* from, int64_t bytes) = 0;
  virtual absl::Status CopyToHost(void* to, const TensorView& from, int64_t bytes) = 0;

  // Waits until all that was issued is done. Errors: status().
  virtual absl::Status Finish() = 0;

  // OK as long as nothing is known to have failed; Internal afterwards, for good.
  virtual absl::Status status() const = 0;

 protected:
  Device(DeviceKind kind, std::string name, CpuIsa isa, int num_threads)
      : kind_(kind), name_(std::move(name)), isa_(isa), pool_(num_threads) {}

 private:
  const DeviceKind kind_;
  const std::string name_;
  const CpuIsa isa_;
  ThreadPool pool_;
};

// `num_threads` as CreateCpu takes it, resolved. Errors: InvalidArgument.
absl::StatusOr<int> ResolveThreads(int num_threads);

}  // namespace layercake
