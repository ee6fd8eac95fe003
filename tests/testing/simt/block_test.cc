#include "tests/testing/simt/block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "worker/kernels/simt.cuh"

namespace layercake::simt {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr unsigned kAll = 0xffffffff;

GridShape Shape(dim3 grid, dim3 block, size_t shared_bytes = 0) {
  return {"test", grid, block, shared_bytes};
}

float WarpSum(float x) {
  for (int with = 16; with > 0; with /= 2) x += __shfl_xor_sync(kAll, x, with);
  return x;
}

TEST(BlockTest, EveryThreadOfEveryBlockRunsOnce) {
  std::set<std::vector<unsigned>> seen;
  const auto body = [&] {
    const std::vector<unsigned> place = {blockIdx.x,  blockIdx.y,  blockIdx.z,
                                         threadIdx.x, threadIdx.y, threadIdx.z};
    EXPECT_EQ(gridDim.y, 3u);
    EXPECT_EQ(blockDim.z, 2u);
    EXPECT_TRUE(seen.insert(place).second);
  };
  EXPECT_THAT(RunGrid(Shape({2, 3, 2}, {5, 4, 2}), 1, body), IsEmpty());
  EXPECT_EQ(seen.size(), 2u * 3 * 2 * 5 * 4 * 2);
}

TEST(BlockTest, ShufflesSumAWarp) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<float> sums(96);
    const auto body = [&] {
      sums[threadIdx.x] = WarpSum(static_cast<float>(threadIdx.x));
      EXPECT_EQ(__shfl_sync(kAll, threadIdx.x, 3), threadIdx.x / 32 * 32 + 3);
      EXPECT_EQ(__shfl_sync(kAll, threadIdx.x, 1, 8), threadIdx.x / 8 * 8 + 1);
      const unsigned below = __shfl_down_sync(kAll, threadIdx.x, 2);
      EXPECT_EQ(below, threadIdx.x % 32 < 30 ? threadIdx.x + 2 : threadIdx.x);
    };
    ASSERT_THAT(RunGrid(Shape(1, 96), seed, body), IsEmpty());
    for (int i = 0; i < 96; ++i) {
      EXPECT_EQ(sums[i], static_cast<float>(i / 32 * 32 * 32 + 31 * 16));
    }
  }
}

TEST(BlockTest, VotesCountTheLanesOfTheMaskOnly) {
  const auto body = [] {
    if (threadIdx.x % 2 == 0) return;
    const unsigned odd = 0xaaaaaaaa;
    EXPECT_EQ(__ballot_sync(odd, threadIdx.x < 4), 0b1010u);
    EXPECT_TRUE(__any_sync(odd, threadIdx.x == 5));
    EXPECT_FALSE(__all_sync(odd, threadIdx.x == 5));
  };
  EXPECT_THAT(RunGrid(Shape(1, 32), 7, body), IsEmpty());
}

TEST(BlockTest, HalvesOfAWarpMayGoApart) {
  const auto body = [] {
    if (threadIdx.x < 16) {
      EXPECT_EQ(__shfl_xor_sync(0xffffu, threadIdx.x, 1), threadIdx.x ^ 1);
    } else {
      EXPECT_EQ(__shfl_xor_sync(0xffff0000u, threadIdx.x, 2), threadIdx.x ^ 2);
    }
    __syncwarp();
  };
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_THAT(RunGrid(Shape(1, 32), seed, body), IsEmpty());
  }
}

TEST(BlockTest, BarriersOrderSharedMemory) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    int total = 0;
    const auto body = [&] {
      int* values = static_cast<int*>(SharedMemory());
      values[threadIdx.x] = static_cast<int>(threadIdx.x);
      __syncthreads();
      for (unsigned stride = 64; stride > 0; stride /= 2) {
        if (threadIdx.x < stride) values[threadIdx.x] += values[threadIdx.x + stride];
        __syncthreads();
      }
      if (threadIdx.x == 0) total = values[0];
      EXPECT_EQ(__syncthreads_count(threadIdx.x % 4 == 0), 32);
      EXPECT_TRUE(__syncthreads_or(threadIdx.x == 9));
    };
    ASSERT_THAT(RunGrid(Shape(1, 128, 128 * sizeof(int)), seed, body), IsEmpty());
    EXPECT_EQ(total, 127 * 64);
  }
}

TEST(BlockTest, AMissingBarrierShows) {
  int wrong = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto body = [&] {
      float* values = static_cast<float*>(SharedMemory());
      values[threadIdx.x] = 1;
      wrong += !(values[63 - threadIdx.x] == 1);  // NaN if the other thread has not been there
    };
    ASSERT_THAT(RunGrid(Shape(1, 64, 64 * sizeof(float)), seed, body), IsEmpty());
  }
  EXPECT_GT(wrong, 0);
}

// Sixteen lanes copy 64 floats each, in two groups, and read what the others copied.
struct CopiedFloats {
  float at[16][64];
};

int WrongCopies(uint64_t seed, bool wait, bool pass_barrier) {
  alignas(16) static float global[16][64];
  for (int i = 0; i < 16 * 64; ++i) global[i / 64][i % 64] = static_cast<float>(i);
  int wrong = 0;
  const auto body = [&] {
    auto& shared = SharedAs<CopiedFloats>();
    const unsigned me = threadIdx.x;
    const auto wrong_at = [&](unsigned row, int from, int to) {
      int sum = 0;
      for (int i = from; i < to; ++i) {
        const float expected = i < 60 ? global[row][i] : 0;
        sum += !(shared.at[row][i] == expected);
      }
      return sum;
    };
    for (int i = 0; i < 64; i += 4) {
      CopyAsync<16>(&shared.at[me][i], &global[me][i], i < 60);
      if (i == 28) EndCopies();
    }
    EndCopies();
    if (wait) WaitForCopies<1>();
    if (pass_barrier) __syncthreads();
    wrong += wrong_at((me + 1) % 16, 0, 32);
    wrong += 32 - wrong_at(me, 32, 64);  // not there yet
    WaitForCopies<0>();
    wrong += wrong_at(me, 32, 64);
  };
  EXPECT_THAT(RunGrid(Shape(1, 16, sizeof(CopiedFloats)), seed, body), IsEmpty());
  return wrong;
}

TEST(BlockTest, CopiesAreThereWhenTheyWereWaitedForAndABarrierWasPassed) {
  int unwaited = 0, unordered = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(WrongCopies(seed, /*wait=*/true, /*pass_barrier=*/true), 0);
    unwaited += WrongCopies(seed, /*wait=*/false, /*pass_barrier=*/true);
    unordered += WrongCopies(seed, /*wait=*/true, /*pass_barrier=*/false);
  }
  EXPECT_GT(unwaited, 0);
  EXPECT_GT(unordered, 0);
}

TEST(BlockTest, ReportsCopiesThatMissSharedMemoryOrAreNotAligned) {
  alignas(16) static const float global[8] = {};
  const auto copying = [](int to, int from) {
    return RunGrid(Shape(1, 1, 32), 1, [&] {
      CopyAsync<16>(static_cast<float*>(SharedMemory()) + to, global + from, true);
    });
  };
  EXPECT_THAT(copying(4, 4), IsEmpty());
  EXPECT_THAT(copying(8, 0), HasSubstr("16 bytes to offset 32 of 32 of shared memory"));
  EXPECT_THAT(copying(0, 1), HasSubstr("not aligned to as many"));
}

TEST(BlockTest, SeedsGiveOrders) {
  const auto order = [](uint64_t seed) {
    std::vector<unsigned> ids;
    (void)RunGrid(Shape(3, 40), seed, [&] { ids.push_back(blockIdx.x * 40 + threadIdx.x); });
    return ids;
  };
  EXPECT_EQ(order(5), order(5));
  EXPECT_NE(order(5), order(6));
}

TEST(BlockTest, AtomicsAddUp) {
  int sum = 0, max = 0;
  const auto body = [&] {
    atomicAdd(&sum, 1);
    atomicMax(&max, static_cast<int>(threadIdx.x));
  };
  EXPECT_THAT(RunGrid(Shape(4, 100), 3, body), IsEmpty());
  EXPECT_EQ(sum, 400);
  EXPECT_EQ(max, 99);
}

TEST(BlockTest, ReportsABarrierThatAThreadHasLeftOut) {
  const auto body = [] {
    if (threadIdx.x == 17) return;
    __syncthreads();
  };
  EXPECT_THAT(
      RunGrid(Shape(1, 64), 1, body),
      AllOf(HasSubstr("kernel test, block (0,0,0), thread (0,0,0)"),
            HasSubstr("__syncthreads at block_test.cc"), HasSubstr("thread (17,0,0) has ended")));
}

TEST(BlockTest, ReportsBarriersInDifferentLines) {
  const auto body = [] {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  };
  EXPECT_THAT(RunGrid(Shape(1, 64), 1, body), HasSubstr("divergent barrier"));
}

TEST(BlockTest, ReportsLanesThatDoNotAgree) {
  EXPECT_THAT(
      RunGrid(Shape(1, 32), 1, [] { (void)__shfl_sync(threadIdx.x < 16 ? 0xffffu : kAll, 1, 0); }),
      AllOf(HasSubstr("waits for ever in __shfl_sync"), HasSubstr("has ended")));
  EXPECT_THAT(RunGrid(Shape(1, 32), 1,
                      [] {
                        if (threadIdx.x % 2 == 0) {
                          __syncwarp();
                        } else {
                          (void)__ballot_sync(kAll, 1);
                        }
                      }),
              AllOf(HasSubstr("__syncwarp"), HasSubstr("__ballot_sync")));
  EXPECT_THAT(RunGrid(Shape(1, 32), 1,
                      [] {
                        if (threadIdx.x < 16) (void)__shfl_sync(0xffffu, 1, 20);
                      }),
              HasSubstr("reads lane 20, which is not in the mask"));
  EXPECT_THAT(RunGrid(Shape(1, 40), 1, [] { __syncwarp(); }), HasSubstr("ends at lane 7"));
}

TEST(BlockTest, GoesOnAfterAReport) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_NE(RunGrid(Shape(1, 64), 1,
                      [] {
                        if (threadIdx.x != 0) __syncthreads();
                      }),
              "");
    EXPECT_EQ(RunGrid(Shape(1, 64), 1, [] { __syncthreads(); }), "");
  }
}

}  // namespace
}  // namespace layercake::simt
