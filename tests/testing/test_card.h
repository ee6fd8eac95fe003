#pragma once

// A CUDA device for tests that run both under emulation and on a card. Which of them it is, says
// the library that the test links: tests_emulated_cuda, or tests_real_card.

#include <cstdint>
#include <memory>
#include <vector>

#include "common/base/logging.h"
#include "worker/device/device.h"

namespace layercake {

// An emulated one is of this compute capability (61 for 6.1), a real one of its own.
// REQUIRES: no other one is there.
std::unique_ptr<Device> TestCard(int compute_capability = 80);

// Emulation is slow: such tests do less there.
bool CardIsEmulated();

// An emulated card runs blocks and threads in another order from now on; a real one as it likes.
void ShuffleThreads(uint64_t seed);

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
