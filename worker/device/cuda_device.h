#pragma once

// A CUDA device, as the ops see it. This header needs no CUDA: builds without it include it too.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "worker/device/cublas_lt.h"
#include "worker/device/cuda_tier.h"
#include "worker/device/device.h"

struct CUstream_st;     // what a cudaStream_t points to
struct CUgraphExec_st;  // what a cudaGraphExec_t points to

namespace layercake {

// Recorded work that is launched as one. The device must outlive it.
using CudaGraph = std::unique_ptr<CUgraphExec_st, std::function<void(CUgraphExec_st*)>>;

// Everything goes through one stream, so ops run in the order they were issued; only what a
// HostCopy copies goes beside it. The first error that CUDA reports, at a launch or while waiting,
// is what status() says from then on: most of CUDA's errors stick to the process, which can only
// end and begin anew.
class CudaDevice : public Device {
 public:
  // 52 for 5.2.
  int compute_capability() const { return compute_capability_; }
  // By the code that this program has for the card, which may be that of an older one.
  const CudaTier& tier() const { return tier_; }
  int num_multiprocessors() const { return num_multiprocessors_; }
  int index() const { return index_; }

  // The stream, for work that the calling thread is about to issue.
  virtual CUstream_st* stream() = 0;

  // Keeps what a launch or call returned (a cudaError_t), should it be an error; `what` names it.
  virtual void Record(int error, absl::string_view what) = 0;

  // Pinned memory of kStagingBytes for the next copy to the device, when no earlier copy needs it
  // any more; and says that what was issued since reads it.
  static constexpr int64_t kStagingBytes = int64_t{8} << 20;
  virtual char* BeginStaging() = 0;
  virtual void EndStaging() = 0;

  // Records what `issue` issues, which is only launches of kernels, instead of doing it. The
  // kernels must have run before, or loading them may fail. Takes some memory of the device.
  // Errors: Unavailable (CUDA refuses; nothing was done, and the device is as it was); status().
  virtual absl::StatusOr<CudaGraph> Capture(absl::FunctionRef<void()> issue) = 0;
  // Issues what was recorded.
  virtual void Launch(const CudaGraph& graph) = 0;

  // Whether stages that are loaded from now on may record their steps. Set before any is.
  bool use_graphs() const { return use_graphs_; }
  void set_use_graphs(bool use_graphs) { use_graphs_ = use_graphs; }

  // Of its memory, what plans may count on: all, unless it was set. Set before a stage is loaded.
  int64_t usable_bytes() const { return usable_bytes_ > 0 ? usable_bytes_ : Memory().total_bytes; }
  void set_usable_bytes(int64_t bytes) { usable_bytes_ = bytes; }

  // What multiplies many rows in the kernels' place; null: nothing does. Set before a stage is
  // loaded.
  CublasLt* cublas_lt() const { return cublas_lt_.get(); }
  void set_cublas_lt(std::unique_ptr<CublasLt> cublas_lt) { cublas_lt_ = std::move(cublas_lt); }

 protected:
  CudaDevice(std::string name, int index, int compute_capability, int code_capability,
             int num_multiprocessors, int num_threads)
      : Device(DeviceKind::kCuda, std::move(name), BestCpuIsa(), num_threads),
        index_(index),
        compute_capability_(compute_capability),
        tier_(TierOf(compute_capability, code_capability)),
        num_multiprocessors_(num_multiprocessors) {}

 private:
  const int index_;
  const int compute_capability_;
  const CudaTier& tier_;
  const int num_multiprocessors_;
  bool use_graphs_ = true;
  int64_t usable_bytes_ = 0;
  std::unique_ptr<CublasLt> cublas_lt_;
};

// REQUIRES: device.kind() is kCuda.
inline CudaDevice& AsCuda(Device& device) { return static_cast<CudaDevice&>(device); }

}  // namespace layercake
