#include "tests/testing/emulated_device.h"
#include "tests/testing/test_card.h"

namespace layercake {

std::unique_ptr<Device> TestCard(int compute_capability) {
  return EmulatedDevice({.major = compute_capability / 10, .minor = compute_capability % 10});
}

bool CardIsEmulated() { return true; }

void ShuffleThreads(uint64_t seed) { simt::SetSeed(seed); }

}  // namespace layercake
