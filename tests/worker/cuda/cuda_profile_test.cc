// What is measured of a CUDA device is what its steps have of it, the device emulated.

#include <gtest/gtest.h>

#include <utility>

#include "tests/testing/emulated_device.h"
#include "tests/testing/status_matchers.h"
#include "worker/kernels/elementwise.h"
#include "worker/profile/issued_time.h"
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

// An emulated device does nothing before it is waited for.
TEST(CudaProfileTest, ManyAreIssuedBeforeTheDeviceIsWaitedFor) {
  const auto device = EmulatedDevice();
  const Buffer x = Upload(*device, {1, 2, 3});
  const Buffer y = Upload(*device, {1, 2, 3});
  for (const Issued how : {Issued::kOneByOne, Issued::kReplayed}) {
    constexpr int64_t kRound = 32;
    const simt::GraphCounts before = simt::CountGraphs();
    int64_t calls = 0, waits = 0, done = -1;
    EXPECT_GT(TimeIssued(*device, absl::ZeroDuration(), how, kRound,
                         [&] {
                           const int64_t before_call = std::exchange(done, simt::NumLaunches());
                           if (before_call != done) ++waits;
                           ++calls;
                           AddInPlace(F32View(x.As<float>(), 1, 3), F32View(y.As<float>(), 1, 3),
                                      *device);
                         }),
              0);
    EXPECT_GE(calls, 16 * waits);
    EXPECT_GE(waits, 2);
    // Half a round each, so that what is replayed is all of it.
    EXPECT_EQ(simt::CountGraphs().captures - before.captures, how == Issued::kReplayed ? 2 : 0);
  }
}

TEST(CudaProfileTest, ACardHasAllOfItself) {
  const auto device = EmulatedDevice();
  const int64_t launches = simt::NumLaunches();
  LC_ASSERT_OK_AND_ASSIGN(const double share, MeasureShare(*device, {}));
  ASSERT_OK(device->Finish());
  EXPECT_EQ(share, 1);
  EXPECT_EQ(simt::NumLaunches(), launches);
}

}  // namespace
}  // namespace layercake
