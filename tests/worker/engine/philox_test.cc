#include "worker/engine/philox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace layercake {
namespace {

using ::testing::ElementsAre;

// The known answers published with Random123 for philox4x32-10.
TEST(PhiloxTest, GivesThePublishedAnswers) {
  EXPECT_THAT(Philox4x32({0, 0, 0, 0}, {0, 0}),
              ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  EXPECT_THAT(
      Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
      ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(
      Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST(PhiloxTest, UniformsFillTheUnitInterval) {
  constexpr int kDraws = 100000, kBins = 50;
  int bins[kBins] = {};
  for (int i = 0; i < kDraws; ++i) {
    const double uniform = UniformAt(12345, i);
    ASSERT_GE(uniform, 0);
    ASSERT_LT(uniform, 1);
    ++bins[static_cast<int>(uniform * kBins)];
  }
  double chi_square = 0;
  for (const int count : bins) chi_square += (count - 2000.0) * (count - 2000.0) / 2000;
  EXPECT_LT(chi_square, 95);  // 49 degrees of freedom: exceeded once in 10,000
}

TEST(PhiloxTest, SeedAndPositionBothCountInAllTheirBits) {
  const double uniform = UniformAt(1, 1);
  EXPECT_EQ(uniform, UniformAt(1, 1));
  for (int bit = 1; bit < 64; ++bit) {
    EXPECT_NE(uniform, UniformAt(1 ^ uint64_t{1} << bit, 1));
    EXPECT_NE(uniform, UniformAt(1, 1 ^ uint64_t{1} << bit));
  }
}

}  // namespace
}  // namespace layercake
