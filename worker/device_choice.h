#pragma once

// Which device this worker computes on: what --device and --list-devices mean.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "layercake/v1/types.pb.h"
#include "worker/device/card_lock.h"
#include "worker/device/cards.h"
#include "worker/device/device.h"

namespace layercake {

struct ChosenDevice {
  std::unique_ptr<Device> device;
  CardLock lock;           // of a card, for as long as the device is used
  v1::Device description;  // all but `free_bytes` and `cap_bytes`, which change
  std::string short_name;  // "cpu-0", "cuda-1"
};

// Opens the device that `selector` names: "cpu", "cuda:N", "GPU-<uuid>" or what a single one begins
// with, words of a single one's name ("tesla-m40"); or "auto": of the usable cards that no worker
// has, the one with most free memory, else the CPU.
//   num_threads: that compute on a CPU, or on the host beside a card; as Device::CreateCpu.
//   runtime: may be null.
//   share_card: beside other workers on the card, which each keep to a part of its memory; then
//   there is no lock.
// Only the card that is opened is used. Errors: InvalidArgument (no such kind of device); those of
// ListCards, FindCard, CardLock::Take, UseCard and the Device's own.
absl::StatusOr<ChosenDevice> OpenDevice(const std::string& selector, int num_threads,
                                        CudaRuntime* runtime, bool share_card = false);

// Has the device's prompts multiplied by cuBLASLt from now on, and its description say so. Before
// its free memory is looked at: it takes some. Errors: FailedPrecondition (a CPU, no library, or
// one that does not know the card), which says what to do; ResourceExhausted; the device's
// status().
absl::Status UseCublasLt(ChosenDevice& chosen);

// Every device of this host, as `layercake-worker --list-devices` shows them. Cards are used for
// it, one after another: that is how their trouble shows.
v1::DeviceList ListDevices(CudaRuntime* runtime);
std::string FormatDeviceTable(const v1::DeviceList& list);

// What a worker that cannot open its device, or measure it, exits with.
int DeviceExitCode(const absl::Status& status);

}  // namespace layercake
