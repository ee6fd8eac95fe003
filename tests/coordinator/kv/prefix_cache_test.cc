#include "coordinator/kv/prefix_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace layercake {
namespace {

using Tokens = std::vector<int32_t>;
using testing::ElementsAre;
using testing::IsEmpty;

uint64_t SameHash(PrefixId, std::span<const int32_t>) { return 7; }

// Both must pass every test: correctness must not lean on the hash.
class PrefixCacheTest : public testing::TestWithParam<PrefixCache::Hash> {
 protected:
  PrefixCacheTest() : cache_(8, 2, GetParam()) {}
  PrefixId Insert(PrefixId parent, Tokens tokens, BlockId block) {
    return cache_.Insert(parent, tokens, block);
  }
  std::vector<BlockId> Match(Tokens tokens) { return cache_.Match(tokens); }

  PrefixCache cache_;
};

INSTANTIATE_TEST_SUITE_P(Hashes, PrefixCacheTest,
                         testing::Values(&PrefixCache::DefaultHash, &SameHash),
                         [](const auto& info) { return info.index == 0 ? "Good" : "Constant"; });

TEST_P(PrefixCacheTest, EmptyMatchesNothing) { EXPECT_THAT(Match({1, 2, 3, 4}), IsEmpty()); }

TEST_P(PrefixCacheTest, MatchesLongestChainOfFullBlocks) {
  const PrefixId a = Insert(kRootPrefix, {1, 2}, 5);
  Insert(a, {3, 4}, 3);
  EXPECT_THAT(Match({1, 2, 3, 4, 5, 6}), ElementsAre(5, 3));
  EXPECT_THAT(Match({1, 2, 3, 4}), ElementsAre(5, 3));
  EXPECT_THAT(Match({1, 2, 3}), ElementsAre(5));
  EXPECT_THAT(Match({1, 2, 4, 3}), ElementsAre(5));
  EXPECT_THAT(Match({1}), IsEmpty());
  EXPECT_THAT(Match({2, 1, 3, 4}), IsEmpty());
}

TEST_P(PrefixCacheTest, SameTokensAfterAnotherPrefixAreAnotherBlock) {
  const PrefixId a = Insert(kRootPrefix, {1, 1}, 0);
  const PrefixId b = Insert(kRootPrefix, {2, 2}, 1);
  Insert(a, {9, 9}, 2);
  EXPECT_THAT(Match({2, 2, 9, 9}), ElementsAre(1));
  Insert(b, {9, 9}, 3);
  EXPECT_THAT(Match({1, 1, 9, 9}), ElementsAre(0, 2));
  EXPECT_THAT(Match({2, 2, 9, 9}), ElementsAre(1, 3));
}

TEST_P(PrefixCacheTest, FirstBlockWithSameContentStays) {
  const PrefixId a = Insert(kRootPrefix, {1, 2}, 0);
  EXPECT_EQ(Insert(kRootPrefix, {1, 2}, 1), a);
  EXPECT_FALSE(cache_.Contains(1));
  EXPECT_THAT(Match({1, 2}), ElementsAre(0));
  EXPECT_EQ(cache_.num_cached(), 1);
}

TEST_P(PrefixCacheTest, ForgottenBlockIsNotFound) {
  Insert(kRootPrefix, {1, 2}, 0);
  cache_.Forget(0);
  cache_.Forget(0);
  EXPECT_FALSE(cache_.Contains(0));
  EXPECT_EQ(cache_.num_cached(), 0);
  EXPECT_THAT(Match({1, 2}), IsEmpty());
}

TEST_P(PrefixCacheTest, BlockThatReplacesAForgottenOneDoesNotInheritItsChildren) {
  const PrefixId a = Insert(kRootPrefix, {1, 2}, 0);
  Insert(a, {3, 4}, 1);
  cache_.Forget(0);
  const PrefixId b = Insert(kRootPrefix, {7, 8}, 0);
  EXPECT_NE(a, b);
  EXPECT_THAT(Match({7, 8, 3, 4}), ElementsAre(0));
  EXPECT_THAT(Match({1, 2, 3, 4}), IsEmpty());
}

TEST_P(PrefixCacheTest, NamesThePrefixOfACachedBlock) {
  const PrefixId a = Insert(kRootPrefix, {1, 2}, 0);
  const PrefixId b = Insert(a, {3, 4}, 1);
  EXPECT_EQ(cache_.prefix(0), a);
  EXPECT_EQ(cache_.prefix(1), b);
}

// Against a map from the whole prefix, tokens and all, to the block.
TEST_P(PrefixCacheTest, BehavesAsAMapFromWholePrefixes) {
  std::mt19937 random(2);
  std::map<Tokens, BlockId> blocks;  // reachable ones only
  std::map<BlockId, Tokens> contents;
  for (int i = 0; i < 20000; ++i) {
    Tokens tokens(2 * (random() % 4));
    for (int32_t& token : tokens) token = random() % 2;
    std::vector<BlockId> expected;
    for (size_t n = 2; n <= tokens.size(); n += 2) {
      const auto found = blocks.find(Tokens(tokens.begin(), tokens.begin() + n));
      if (found == blocks.end()) break;
      expected.push_back(found->second);
    }
    ASSERT_EQ(cache_.Match(tokens), expected);

    const BlockId block = random() % 8;
    if (cache_.Contains(block)) {
      cache_.Forget(block);
      const Tokens gone = contents[block];
      // What went through it is lost with it; if it was lost itself already, nothing changes.
      if (const auto found = blocks.find(gone); found == blocks.end() || found->second != block) {
        continue;
      }
      std::erase_if(blocks, [&](const auto& entry) {
        return entry.first.size() >= gone.size() &&
               std::equal(gone.begin(), gone.end(), entry.first.begin());
      });
    } else if (2 * expected.size() < tokens.size()) {
      const PrefixId parent = expected.empty() ? kRootPrefix : cache_.prefix(expected.back());
      const auto rest = std::span(tokens).subspan(2 * expected.size(), 2);
      cache_.Insert(parent, rest, block);
      contents[block] = Tokens(tokens.begin(), tokens.begin() + 2 * expected.size() + 2);
      blocks[contents[block]] = block;
    }
  }
}

}  // namespace
}  // namespace layercake
