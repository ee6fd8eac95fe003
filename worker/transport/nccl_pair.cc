#include "worker/transport/nccl_pair.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "worker/device/cuda_device.h"

namespace layercake {
namespace {

// A call that is not done at once mostly is within microseconds.
constexpr int kSpins = 1000;
constexpr absl::Duration kPoll = absl::Milliseconds(1);

// A CPU has no streams: what is issued is done.
CUstream_st* StreamOf(Device& device) {
  return device.kind() == DeviceKind::kCuda ? AsCuda(device).stream() : nullptr;
}

// NCCL takes the card that is current in this thread, which asking for its stream makes it.
void UseCard(Device& device) { (void)StreamOf(device); }

}  // namespace

absl::Status NcclPair::Connect(const NcclUniqueId& id, absl::Duration timeout) {
  NcclConfig config;
  UseCard(device_);
  MutexLock lock(mutex_);
  LC_RETURN_IF_ERROR(status_);
  const int result = nccl_.comm_init_rank_config(&comm_, 2, id, rank_, &config);
  return Settle(result, "connecting", Clock::Real()->Now() + timeout);
}

NcclPair::~NcclPair() {
  std::thread abort;
  {
    MutexLock lock(mutex_);
    (void)Fail(absl::CancelledError("the link is closed"));
    abort = std::move(abort_);
  }
  if (abort.joinable()) abort.join();
}

absl::Status NcclPair::Send(Device& device, const void* data, int64_t bytes) {
  CUstream_st* const stream = StreamOf(device);
  MutexLock lock(mutex_);
  LC_RETURN_IF_ERROR(status_);
  return Settle(nccl_.send(data, static_cast<size_t>(bytes), kNcclUint8, 1 - rank_, comm_, stream),
                "sending", absl::InfiniteFuture());
}

absl::Status NcclPair::Receive(Device& device, void* data, int64_t bytes) {
  CUstream_st* const stream = StreamOf(device);
  MutexLock lock(mutex_);
  LC_RETURN_IF_ERROR(status_);
  return Settle(nccl_.recv(data, static_cast<size_t>(bytes), kNcclUint8, 1 - rank_, comm_, stream),
                "receiving", absl::InfiniteFuture());
}

absl::Status NcclPair::status() const {
  MutexLock lock(mutex_);
  return status_;
}

void NcclPair::Abort(const absl::Status& why) {
  MutexLock lock(mutex_);
  (void)Fail(why);
}

absl::Status NcclPair::Settle(int result, const char* what, absl::Time deadline) {
  for (int spins = 0; result == kNcclInProgress && status_.ok(); ++spins) {
    if (spins > kSpins) changed_.WaitFor(mutex_, kPoll);
    LC_RETURN_IF_ERROR(status_);
    if (Clock::Real()->Now() >= deadline) {
      return Fail(absl::DeadlineExceededError(
          absl::StrCat("NCCL was given up ", what, ": the other end did not answer in time")));
    }
    const int polled = nccl_.comm_get_async_error(comm_, &result);
    if (polled != kNcclSuccess) result = polled;
  }
  LC_RETURN_IF_ERROR(status_);
  if (result == kNcclSuccess) return absl::OkStatus();
  return Fail(absl::UnavailableError(
      absl::StrCat("NCCL failed ", what, ": ", nccl_.get_error_string(result))));
}

absl::Status NcclPair::Fail(const absl::Status& why) {
  if (status_.ok()) {
    status_ = why;
    changed_.NotifyAll();
    if (comm_ == nullptr) return status_;
    abort_ = std::thread([this, comm = std::exchange(comm_, nullptr)] {
      UseCard(device_);
      nccl_.comm_abort(comm);
    });
  }
  return status_;
}

}  // namespace layercake
