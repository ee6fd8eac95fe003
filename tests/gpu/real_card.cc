#include "tests/testing/test_card.h"

namespace layercake {

// The first that CUDA_VISIBLE_DEVICES leaves.
std::unique_ptr<Device> TestCard(int) {
  auto device = Device::CreateCuda(0);
  CHECK(device.ok()) << device.status();
  return *std::move(device);
}

bool CardIsEmulated() { return false; }

void ShuffleThreads(uint64_t) {}

}  // namespace layercake
