#include "worker/kernels/prepare_attention.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/testing/attention_preparation.h"
#include "tests/testing/kernel_testing.h"

namespace layercake {
namespace {

TEST(PrepareAttentionTest, HeadsAreNormalisedTurnedAndStored) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const auto devices = TestDevices();
  for (int seed = 0; seed < 24; ++seed) {
    const AttentionPreparation step(random, seed);
    std::vector<float> first;
    for (const auto& device : devices) {
      const std::vector<float> out = step.Run(*device);
      ASSERT_NO_FATAL_FAILURE(step.Check(out)) << DeviceText(*device) << ", step " << seed;
      if (first.empty()) first = out;
      ASSERT_TRUE(SameBits(out, first)) << DeviceText(*device) << ", step " << seed;
    }
  }
}

}  // namespace
}  // namespace layercake
