#include "coordinator/fleet/device_flag.h"

#include "coordinator/fleet/cards.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

TEST(DeviceFlagTest, MemoryBandwidthAndRate) {
  LC_ASSERT_OK_AND_ASSIGN(const PlannerDevice device,
                          ParseDeviceFlag("m40=12GiB,288GB/s,6.8TFLOPS"));
  EXPECT_EQ(device.name, "m40");
  EXPECT_EQ(device.device.kind(), v1::DEVICE_KIND_CUDA);
  EXPECT_EQ(device.device.free_bytes(), uint64_t{12} << 30);
  EXPECT_DOUBLE_EQ(device.profile.bandwidth_bytes_per_second(), 288e9);
  EXPECT_DOUBLE_EQ(device.profile.flops_per_second(), 6.8e12);
}

TEST(DeviceFlagTest, CpuByNameAndOnlyMemory) {
  LC_ASSERT_OK_AND_ASSIGN(const PlannerDevice device, ParseDeviceFlag("cpu-0=64GB"));
  EXPECT_EQ(device.device.kind(), v1::DEVICE_KIND_CPU);
  EXPECT_EQ(device.profile.bandwidth_bytes_per_second(), 0);
}

TEST(DeviceFlagTest, MistakesSayWhatWasExpected) {
  for (const char* text : {"m40", "=12GiB", "m40=much", "m40=0", "m40=1GiB,fast",
                           "m40=1GiB,1GB/s,-2", "m40=1GiB,1GB,1T,1"}) {
    EXPECT_THAT(ParseDeviceFlag(text), StatusIs(absl::StatusCode::kInvalidArgument,
                                                HasSubstr("name=memory[,bandwidth[,operations]]")))
        << text;
  }
}

TEST(DeviceFlagTest, ACardMayStandForTheFigures) {
  LC_ASSERT_OK_AND_ASSIGN(PlannerDevice device, ParseDeviceFlag("old=Tesla M40"));
  EXPECT_EQ(device.device.compute_capability(), 52);
  EXPECT_EQ(device.device.total_bytes(), uint64_t{12} << 30);
  EXPECT_DOUBLE_EQ(device.profile.bandwidth_bytes_per_second(), 288e9 * kAttainableBandwidth);
  LC_ASSERT_OK_AND_ASSIGN(device, ParseDeviceFlag("old=tesla-m40,10GiB"));
  EXPECT_EQ(device.device.free_bytes(), uint64_t{10} << 30);
  EXPECT_THAT(ParseDeviceFlag("old=tesla-m41"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("did you mean tesla-m40?")));
}

TEST(DeviceFlagTest, NamesAreWordsThatOtherFlagsCanSay) {
  EXPECT_OK(CheckDeviceName("node-0:1.gpu_2"));
  for (const char* name : {"", "my card", "a,b", "a=b", "a\n"}) {
    EXPECT_THAT(CheckDeviceName(name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
  EXPECT_THAT(ParseDeviceFlag("my card=12GB"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one word")));
}

}  // namespace
}  // namespace layercake
