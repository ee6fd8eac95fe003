#include "worker/device/thread_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace layercake {
namespace {

using ::testing::Each;

class ThreadPoolTest : public ::testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, VisitsEveryIndexOnce) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.num_threads(), GetParam());
  for (const int64_t count : {0, 1, 7, 64, 1000}) {
    for (const int64_t grain : {1, 3, 64}) {
      std::vector<std::atomic<int>> visits(count);
      pool.ParallelFor(count, grain, [&](int64_t begin, int64_t end) {
        ASSERT_LT(begin, end);
        ASSERT_LE(end - begin, grain);
        for (int64_t i = begin; i < end; ++i) ++visits[i];
      });
      const std::vector<int> counted(visits.begin(), visits.end());
      EXPECT_THAT(counted, Each(1)) << count << " by " << grain;
    }
  }
}

TEST_P(ThreadPoolTest, LoopsSeeWhatWasWrittenBetweenThem) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> values(97, 0);
  for (int64_t round = 0; round < 3000; ++round) {
    pool.ParallelFor(97, 5, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[i] += values[i] == round ? 1 : 1000;
    });
  }
  EXPECT_THAT(values, Each(3000));
}

TEST_P(ThreadPoolTest, CallersTakeTurns) {
  ThreadPool pool(GetParam());
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        pool.ParallelFor(50, 4, [&](int64_t begin, int64_t end) { sum += end - begin; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 3 * 200 * 50);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Values(1, 2, 5),
                         ::testing::PrintToStringParamName());

TEST(ThreadPoolTest, SeveralThreadsWorkAtOnce) {
  ThreadPool pool(3);
  std::atomic<int> inside{0};
  // Each of three indices waits for the other two: a pool that ran them in turn would hang.
  pool.ParallelFor(3, 1, [&](int64_t, int64_t) {
    ++inside;
    while (inside < 3) std::this_thread::yield();
  });
  EXPECT_EQ(inside, 3);
}

}  // namespace
}  // namespace layercake
