#include "worker/kernels/summarize_logits.h"

#include "common/base/logging.h"
#include "worker/kernels/cuda_dispatch.h"

namespace layercake {

void SummarizeLogits(const TensorView& logits, const LogitQuery* queries,
                     const LogitChange* changes, LogitSummary* summaries, double* sums,
                     Device& device) {
  CHECK(device.kind() == DeviceKind::kCuda) << "a CPU's sampler reads the logits themselves";
  if (logits.rows == 0) return;
  LaunchOn(device, "logit summaries", &CudaKernels::summarize_logits, RowsOf(logits), queries,
           changes, summaries, sums);
}

}  // namespace layercake
