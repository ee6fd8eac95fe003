#pragma once

// How long work takes that a step has much of: what the device does, not what waiting for it costs.

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "worker/device/device.h"

namespace layercake {

// How work is issued to a device that does it later.
enum class Issued {
  kReplayed,  // as decode steps are, if the device replays
  kOneByOne,  // as prompts are
};

// Seconds that one call of `work` takes, on a CPU as it comes, elsewhere of many that are issued
// before the device is waited for.
//   round: calls after which `work` does the same again, as when it takes matrices in turn.
// What fails is in the device's status().
double TimeIssued(Device& device, absl::Duration patience, Issued how, int64_t round,
                  absl::FunctionRef<void()> work);

}  // namespace layercake
