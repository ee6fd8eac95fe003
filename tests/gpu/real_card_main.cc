// Of test programs that need a card: without one nothing is tested, and the exit code says so.

#include <gmock/gmock.h>

#include <iostream>

#include "worker/device/device.h"

namespace {

constexpr int kSkipped = 77;  // ctest's SKIP_RETURN_CODE

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  if (::testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  if (const auto card = layercake::Device::CreateCuda(0); card.ok()) {
    std::cout << "On " << (*card)->name() << std::endl;
  } else {
    std::cout << "SKIPPED: no CUDA device: " << card.status().message() << std::endl;
    return kSkipped;
  }
  return RUN_ALL_TESTS();
}
