#pragma once

// That lanes find shared memory's banks free, which no result shows.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

namespace layercake {

// The bytes of shared memory from which each of 32 lanes reads `count` at once, or writes. A word
// of a bank is one for all lanes that read some of it.
inline void ExpectNoConflicts(const std::vector<int>& bytes, int count) {
  constexpr int kBankBytes = 4, kBanks = 32, kLanes = 32;
  ASSERT_EQ(bytes.size(), kLanes);
  const int at_once = std::min(kLanes, kBankBytes * kBanks / count);
  for (int first = 0; first < kLanes; first += at_once) {
    std::map<int, int> words;  // by bank
    for (int lane = first; lane < first + at_once; ++lane) {
      ASSERT_EQ(bytes[lane] % count, 0);
      for (int i = 0; i < count; i += kBankBytes) {
        const int word = (bytes[lane] + i) / kBankBytes;
        const bool is_free = words.emplace(word % kBanks, word).first->second == word;
        EXPECT_TRUE(is_free) << "lane " << lane << ", byte " << bytes[lane];
      }
    }
  }
}

}  // namespace layercake
