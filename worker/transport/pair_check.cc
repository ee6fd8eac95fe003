#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "worker/transport/nccl_pair.h"

namespace layercake {
namespace {

constexpr int64_t kValues = 16384;

// Aborts the pair unless destroyed within `timeout`: a wait for the device has no limit of its own.
class AbortAfter {
 public:
  AbortAfter(NcclPair& pair, absl::Duration timeout)
      : thread_([this, &pair, deadline = Clock::Real()->Now() + timeout] {
          MutexLock lock(mutex_);
          while (!done_) {
            const absl::Duration left = deadline - Clock::Real()->Now();
            if (left <= absl::ZeroDuration()) {
              pair.Abort(absl::DeadlineExceededError("NCCL's test was not done in time"));
              return;
            }
            changed_.WaitFor(mutex_, left);
          }
        }) {}
  ~AbortAfter() {
    {
      MutexLock lock(mutex_);
      done_ = true;
      changed_.NotifyAll();
    }
    thread_.join();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

std::vector<float> Pattern(float factor) {
  std::vector<float> values(kValues);
  for (int64_t i = 0; i < kValues; ++i) values[i] = factor * static_cast<float>(i + 1);
  return values;
}

absl::Status SendPattern(NcclPair& pair, Device& device, const TensorView& view, float factor) {
  const std::vector<float> values = Pattern(factor);
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(float));
  LC_RETURN_IF_ERROR(device.CopyFromHost(view, values.data(), bytes));
  LC_RETURN_IF_ERROR(pair.Send(device, view.data, bytes));
  return device.Finish();
}

absl::Status ReceivePattern(NcclPair& pair, Device& device, const TensorView& view, float factor) {
  std::vector<float> values(kValues);
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(float));
  LC_RETURN_IF_ERROR(pair.Receive(device, view.data, bytes));
  const absl::Status copied = device.CopyToHost(values.data(), view, bytes);
  LC_RETURN_IF_ERROR(pair.status());
  LC_RETURN_IF_ERROR(copied);
  const std::vector<float> expected = Pattern(factor);
  for (int64_t i = 0; i < kValues; ++i) {
    if (values[i] == expected[i]) continue;
    return absl::DataLossError(absl::StrCat("NCCL brought ", values[i], " as value ", i,
                                            " of a test that sent ", expected[i]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status TestPair(NcclPair& pair, Device& device, absl::Duration timeout) {
  const AbortAfter guard(pair, timeout);
  LC_ASSIGN_OR_RETURN(const Buffer buffer,
                      device.Allocate(kValues * sizeof(float), "testing the link"));
  const TensorView view = {buffer.data(), DType::kF32, 1, kValues, kValues};
  absl::Status status;
  if (pair.rank() == 0) {
    status = SendPattern(pair, device, view, 1);
    if (status.ok()) status = ReceivePattern(pair, device, view, -1);
  } else {
    status = ReceivePattern(pair, device, view, 1);
    if (status.ok()) status = SendPattern(pair, device, view, -1);
  }
  if (!status.ok()) pair.Abort(status);
  return pair.status();
}

}  // namespace layercake
