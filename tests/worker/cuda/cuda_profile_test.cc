// What a layer costs on a CUDA device is measured as decode steps run it, the device emulated.

#include <gtest/gtest.h>

#include "tests/testing/emulated_device.h"
#include "tests/testing/status_matchers.h"
#include "worker/profile/measure.h"

namespace layercake {
namespace {

TEST(CudaProfileTest, LayersAreMeasuredReplayedUnlessGraphsAreOff) {
  constexpr MeasureLimits kQuick = {.max_bytes = 1 << 20, .patience = absl::ZeroDuration()};
  const auto device = EmulatedDevice();
  for (const bool use_graphs : {true, false}) {
    AsCuda(*device).set_use_graphs(use_graphs);
    const simt::GraphCounts before = simt::CountGraphs();
    v1::DeviceProfile profile;
    ASSERT_OK(MeasureLayer(*device, kQuick, &profile));
    EXPECT_GT(profile.layer_seconds(), 0);
    const simt::GraphCounts after = simt::CountGraphs();
    EXPECT_EQ(after.captures - before.captures, use_graphs ? 1 : 0);
    EXPECT_EQ(after.launches > before.launches, use_graphs);
    EXPECT_EQ(after.alive, before.alive);
  }
}

}  // namespace
}  // namespace layercake
