#pragma once

// A CUDA device that needs no GPU, for tests that link tests_emulated_cuda.

#include <memory>
#include <vector>

#include "common/base/logging.h"
#include "tests/testing/simt/emulation.h"
#include "tests/testing/test_card.h"
#include "worker/device/cuda_device.h"

namespace layercake {

// REQUIRES: no other such device is there.
inline std::unique_ptr<Device> EmulatedDevice(const simt::DeviceSpec& spec = {}) {
  simt::SetDevices({spec});
  auto device = Device::CreateCuda(0);
  CHECK(device.ok()) << device.status();
  return *std::move(device);
}

}  // namespace layercake
