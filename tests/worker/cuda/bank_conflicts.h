#pragma once

// That lanes find shared memory's banks free, which no result shows.

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace layercake {

// The bytes of shared memory from which each of 32 lanes reads `count` at once, or writes.
inline void ExpectNoConflicts(const std::vector<int>& bytes, int count) {
  constexpr int kBankBytes = 4, kBanks = 32, kLanes = 32;
  ASSERT_EQ(bytes.size(), kLanes);
  const int at_once = kBankBytes * kBanks / count;
  for (int first = 0; first < kLanes; first += at_once) {
    std::set<int> banks;
    for (int lane = first; lane < first + at_once; ++lane) {
      ASSERT_EQ(bytes[lane] % count, 0);
      for (int i = 0; i < count; i += kBankBytes) {
        EXPECT_TRUE(banks.insert((bytes[lane] + i) / kBankBytes % kBanks).second)
            << "lane " << lane << ", byte " << bytes[lane];
      }
    }
  }
}

}  // namespace layercake
