#include "tests/testing/emulated_device.h"
#include "tests/testing/test_card.h"

namespace layercake {

std::unique_ptr<Device> TestCard() { return EmulatedDevice(); }

bool CardIsEmulated() { return true; }

void ShuffleThreads(uint64_t seed) { simt::SetSeed(seed); }

}  // namespace layercake
