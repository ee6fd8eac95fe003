#pragma once

// A CUDA device that needs no GPU, for tests that link tests_emulated_cuda.

#include <memory>
#include <vector>

#include "common/base/logging.h"
#include "tests/testing/simt/emulation.h"
#include "worker/device/cuda_device.h"

namespace layercake {

// REQUIRES: no other such device is there.
inline std::unique_ptr<Device> EmulatedDevice(const simt::DeviceSpec& spec = {}) {
  simt::SetDevices({spec});
  auto device = Device::CreateCuda(0);
  CHECK(device.ok()) << device.status();
  return *std::move(device);
}

// `values` in the device's memory.
inline Buffer Upload(Device& device, const std::vector<float>& values) {
  const int64_t count = static_cast<int64_t>(values.size());
  const int64_t bytes = count * static_cast<int64_t>(sizeof(float));
  auto buffer = device.Allocate(bytes, "a test");
  CHECK(buffer.ok()) << buffer.status();
  CHECK(device.CopyFromHost(F32View(buffer->As<float>(), 1, count), values.data(), bytes).ok());
  return *std::move(buffer);
}

inline std::vector<float> Download(Device& device, const Buffer& buffer, int64_t count) {
  std::vector<float> values(count);
  const absl::Status status =
      device.CopyToHost(values.data(), F32View(buffer.As<float>(), 1, count),
                        count * static_cast<int64_t>(sizeof(float)));
  CHECK(status.ok()) << status;
  return values;
}

}  // namespace layercake
