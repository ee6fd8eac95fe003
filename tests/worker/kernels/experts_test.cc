#include "worker/kernels/experts.h"

#include <gtest/gtest.h>

#include "tests/testing/expert_routing.h"
#include "tests/testing/kernel_testing.h"

namespace layercake {
namespace {

TEST(ExpertsTest, TokensGoWhereTheirScoresAreHighestAndComeBack) {
  RandomInput random;
  for (const auto& device : TestDevices()) {
    SCOPED_TRACE(DeviceText(*device));
    CheckRouting(random, *device);
  }
}

TEST(ExpertsTest, EveryRowIsMultipliedByItsExpertsMatrix) {
  RandomInput random;
  for (const auto& device : TestDevices()) {
    SCOPED_TRACE(DeviceText(*device));
    CheckExpertProducts(random, 1e-6, *device);
  }
}

}  // namespace
}  // namespace layercake
