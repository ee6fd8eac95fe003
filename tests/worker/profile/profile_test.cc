#include "worker/profile/profile.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status_matchers.h"
#include "worker/profile/cpu_allowance.h"
#include "worker/profile/stopwatch.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

class ProfileTest : public ::testing::Test {
 protected:
  void SetUp() override { LC_ASSERT_OK_AND_ASSIGN(device_, Device::CreateCpu(1)); }
  std::string CachePath() const { return directory_.path() + "/a/b/profile.json"; }

  static constexpr MeasureLimits kQuick = {.max_bytes = 1 << 20, .patience = absl::ZeroDuration()};
  TemporaryDirectory directory_;
  std::unique_ptr<Device> device_;
};

TEST_F(ProfileTest, GivenFiguresAreTakenAsTheyAre) {
  LC_ASSERT_OK_AND_ASSIGN(const v1::DeviceProfile profile,
                          GetProfile("19.6e9,2e11", *device_, kQuick, CachePath()));
  EXPECT_DOUBLE_EQ(profile.bandwidth_bytes_per_second(), 19.6e9);
  EXPECT_DOUBLE_EQ(profile.flops_per_second(), 2e11);
}

TEST_F(ProfileTest, WhatIsNoProfileIsRefused) {
  for (const char* mode : {"", "fast", "1e9", "1e9,", "0,1", "1,-1", "nan,1", "inf,1", "1,2,3"}) {
    EXPECT_THAT(GetProfile(mode, *device_, kQuick, CachePath()),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("BANDWIDTH,FLOPS")))
        << mode;
  }
}

TEST_F(ProfileTest, MeasuresOnceThenRemembers) {
  LC_ASSERT_OK_AND_ASSIGN(const v1::DeviceProfile measured,
                          GetProfile("cached", *device_, kQuick, CachePath()));
  EXPECT_GT(measured.bandwidth_bytes_per_second(), 1e6);
  EXPECT_GT(measured.flops_per_second(), 1e6);
  LC_ASSERT_OK_AND_ASSIGN(const v1::DeviceProfile remembered,
                          GetProfile("cached", *device_, kQuick, CachePath()));
  EXPECT_EQ(remembered.bandwidth_bytes_per_second(), measured.bandwidth_bytes_per_second());
  EXPECT_EQ(remembered.flops_per_second(), measured.flops_per_second());
  // Another number of threads is another device.
  LC_ASSERT_OK_AND_ASSIGN(const auto two, Device::CreateCpu(2));
  LC_ASSERT_OK_AND_ASSIGN(const v1::DeviceProfile other,
                          GetProfile("cached", *two, kQuick, CachePath()));
  EXPECT_NE(other.bandwidth_bytes_per_second(), measured.bandwidth_bytes_per_second());
}

TEST(CpuAllowanceTest, AQuotaIsDividedOverTheThreads) {
  EXPECT_EQ((CpuAllowance{.cores = 4}).ShareOf(8), 1);
  EXPECT_EQ((CpuAllowance{.cores = 4, .quota = 1.5}).ShareOf(3), 0.5);
  EXPECT_EQ((CpuAllowance{.cores = 4, .quota = 1.5}).ShareOf(1), 1);
  EXPECT_EQ((CpuAllowance{.cores = 4, .quota = 1.5}).Text(), "4 cores, at most 1.5 of one");
}

TEST(StopwatchTest, PausesDoNotCountWhereThreadsAreMetered) {
  constexpr absl::Duration kPause = absl::Milliseconds(20);
  const auto pause = [&] { absl::SleepFor(kPause); };
  const Timing by_clock = TimeRepeated(BusyClock(0), absl::ZeroDuration(), pause);
  EXPECT_GE(by_clock.typical_seconds, absl::ToDoubleSeconds(kPause) * 0.99);
  const Timing metered = TimeRepeated(BusyClock(1), absl::ZeroDuration(), pause);
  EXPECT_LT(metered.typical_seconds, absl::ToDoubleSeconds(kPause) / 2);
  EXPECT_GE(metered.mean_seconds, absl::ToDoubleSeconds(kPause) * 0.99);
}

TEST(StopwatchTest, MeteredThreadsAreBusyAsLongAsTheyCompute) {
  const auto compute = [] {
    const absl::Time end = absl::Now() + absl::Milliseconds(10);
    while (absl::Now() < end) {
    }
  };
  // Less than by the clock only as far as other processes had the processor.
  for (const int threads : {1, 2}) {
    const Timing timing = TimeRepeated(BusyClock(threads), absl::Milliseconds(100), compute);
    EXPECT_LE(timing.typical_seconds, 1.05 * timing.mean_seconds / threads);
    EXPECT_GE(timing.typical_seconds, 0.1 * timing.mean_seconds / threads);
  }
}

TEST_F(ProfileTest, WhatWasMeasuredInLittleMemoryIsMeasuredAgainWithMore) {
  const std::string path = directory_.path() + "/profile.json";
  const auto largest = [](const v1::DeviceProfile& profile) {
    uint64_t bytes = 0;
    for (const v1::StreamRate& rate : profile.weights()) {
      bytes = std::max<uint64_t>(bytes, rate.working_set_bytes());
    }
    return bytes;
  };
  MeasureLimits little = kQuick;
  little.max_bytes = 1 << 20;
  MeasureLimits more = kQuick;
  more.max_bytes = 4 << 20;
  LC_ASSERT_OK_AND_ASSIGN(v1::DeviceProfile profile, GetProfile("cached", *device_, little, path));
  EXPECT_EQ(largest(profile), 1u << 20);
  LC_ASSERT_OK_AND_ASSIGN(profile, GetProfile("cached", *device_, more, path));
  EXPECT_EQ(largest(profile), 4u << 20);
  LC_ASSERT_OK_AND_ASSIGN(profile, GetProfile("cached", *device_, little, path));
  EXPECT_EQ(largest(profile), 4u << 20);  // which holds for less, too
}

TEST_F(ProfileTest, ABrokenCacheIsMeasuredOver) {
  directory_.Write("profile.json", "{\"no\": [json");
  const std::string path = directory_.path() + "/profile.json";
  LC_ASSERT_OK_AND_ASSIGN(const v1::DeviceProfile measured,
                          GetProfile("cached", *device_, kQuick, path));
  LC_ASSERT_OK_AND_ASSIGN(const v1::DeviceProfile remembered,
                          GetProfile("cached", *device_, kQuick, path));
  EXPECT_EQ(remembered.flops_per_second(), measured.flops_per_second());
}

TEST_F(ProfileTest, AnotherProcessThatHangsIsNotWaitedForForEver) {
  const std::string path = directory_.path() + "/profile.json";
  const int held = open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(flock(held, LOCK_EX), 0);
  MeasureLimits limits = kQuick;
  limits.longest_wait = absl::ZeroDuration();
  LC_ASSERT_OK_AND_ASSIGN(const v1::DeviceProfile measured,
                          GetProfile("cached", *device_, limits, path));
  LC_ASSERT_OK_AND_ASSIGN(const v1::DeviceProfile remembered,
                          GetProfile("cached", *device_, limits, path));
  EXPECT_EQ(remembered.flops_per_second(), measured.flops_per_second());
  close(held);
}

TEST_F(ProfileTest, WaitingForAnotherProcessDisturbsNoMeasurement) {
  const std::string path = directory_.path() + "/profile.json";
  ASSERT_OK(GetProfile("cached", *device_, kQuick, path));
  const int held = open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(flock(held, LOCK_EX), 0);
  MeasureLimits limits = kQuick;
  limits.longest_wait = absl::Seconds(1);
  rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  EXPECT_OK(GetProfile("cached", *device_, limits, path));
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_nvcsw - before.ru_nvcsw, 20) << "it woke up to try";
  close(held);
}

TEST_F(ProfileTest, TheLockIsHadAsSoonAsAnotherProcessLeavesIt) {
  const std::string path = directory_.path() + "/profile.json";
  ASSERT_OK(GetProfile("cached", *device_, kQuick, path));
  const int held = open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(flock(held, LOCK_EX), 0);
  std::thread leaving([&] { close(held); });
  const absl::Time began = absl::Now();
  EXPECT_OK(GetProfile("cached", *device_, kQuick, path));
  EXPECT_LT(absl::Now() - began, kQuick.longest_wait / 2);
  leaving.join();
  // And is left again.
  const int next = open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  EXPECT_EQ(flock(next, LOCK_EX | LOCK_NB), 0);
  close(next);
}

TEST_F(ProfileTest, NoCacheIsNoHindrance) {
  EXPECT_OK(GetProfile("cached", *device_, kQuick, ""));
  EXPECT_OK(GetProfile("measure", *device_, kQuick, "/proc/no/such/profile.json"));
}

TEST(DefaultProfileCachePathTest, FollowsXdgThenHome) {
  setenv("XDG_CACHE_HOME", "/x", 1);
  EXPECT_EQ(DefaultProfileCachePath(), "/x/layercake/profile.json");
  unsetenv("XDG_CACHE_HOME");
  setenv("HOME", "/h", 1);
  EXPECT_EQ(DefaultProfileCachePath(), "/h/.cache/layercake/profile.json");
}

}  // namespace
}  // namespace layercake
