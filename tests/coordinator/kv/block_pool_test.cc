#include "coordinator/kv/block_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <numeric>
#include <random>
#include <vector>

namespace layercake {
namespace {

using Reuse = BlockPool::Reuse;

TEST(BlockPoolTest, AllocateGivesEachBlockOnce) {
  BlockPool pool(4);
  std::vector<BlockId> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(pool.Allocate());
  EXPECT_THAT(blocks, testing::UnorderedElementsAre(0, 1, 2, 3));
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_EQ(pool.num_blocks(), 4);
}

TEST(BlockPoolTest, ReleaseFreesSharedBlockOnlyAtLastReference) {
  BlockPool pool(1);
  const BlockId block = pool.Allocate();
  pool.Reference(block);
  pool.Release(block, Reuse::kSoon);
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_EQ(pool.num_references(block), 1);
  pool.Release(block, Reuse::kSoon);
  EXPECT_EQ(pool.num_free(), 1);
}

TEST(BlockPoolTest, LateBlocksAreReusedLastAndInOrderOfRelease) {
  BlockPool pool(4);
  for (int i = 0; i < 4; ++i) pool.Allocate();
  pool.Release(2, Reuse::kLate);
  pool.Release(0, Reuse::kLate);
  pool.Release(1, Reuse::kSoon);
  pool.Release(3, Reuse::kSoon);
  std::vector<BlockId> order;
  for (int i = 0; i < 4; ++i) order.push_back(pool.Allocate());
  EXPECT_THAT(order, testing::ElementsAre(3, 1, 2, 0));
}

TEST(BlockPoolTest, ReferenceTakesFreeBlockFromTheMiddleOfTheQueue) {
  BlockPool pool(3);
  pool.Reference(1);
  EXPECT_EQ(pool.num_free(), 2);
  EXPECT_EQ(pool.Allocate(), 0);
  EXPECT_EQ(pool.Allocate(), 2);
  EXPECT_EQ(pool.num_references(1), 1);
}

TEST(BlockPoolDeathTest, CallersBugsAreFatal) {
  BlockPool pool(1);
  EXPECT_DEATH(pool.Release(0, Reuse::kSoon), "block 0");
  pool.Allocate();
  EXPECT_DEATH(pool.Allocate(), "num_free_");
}

// Against a plain deque of free blocks and a plain array of counts.
TEST(BlockPoolTest, BehavesAsAQueueWithCounts) {
  std::mt19937 random(1);
  BlockPool pool(17);
  std::deque<BlockId> free(17);
  std::iota(free.begin(), free.end(), 0);
  std::vector<int> references(17, 0);
  for (int i = 0; i < 20000; ++i) {
    const BlockId block = random() % 17;
    switch (random() % 3) {
      case 0:
        if (free.empty()) break;
        ASSERT_EQ(pool.Allocate(), free.front());
        references[free.front()] = 1;
        free.pop_front();
        break;
      case 1:
        if (references[block]++ == 0) free.erase(std::ranges::find(free, block));
        pool.Reference(block);
        break;
      case 2:
        if (references[block] == 0) break;
        const Reuse reuse = random() % 2 ? Reuse::kSoon : Reuse::kLate;
        pool.Release(block, reuse);
        if (--references[block] > 0) break;
        reuse == Reuse::kSoon ? free.push_front(block) : free.push_back(block);
        break;
    }
    ASSERT_EQ(pool.num_free(), static_cast<int>(free.size()));
    ASSERT_EQ(pool.num_references(block), references[block]);
  }
}

}  // namespace
}  // namespace layercake
