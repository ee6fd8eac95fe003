#include "coordinator/fleet/cards.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(CardsTest, NamesAreUniqueAndPlain) {
  std::set<std::string> names;
  for (const CardModel& card : CardModels()) {
    EXPECT_TRUE(names.insert(card.name).second) << card.name;
    for (const char* c = card.name; *c != 0; ++c) {
      EXPECT_TRUE(absl::ascii_islower(*c) || absl::ascii_isdigit(*c) || *c == '-') << card.name;
    }
    EXPECT_OK(FindCardModel(card.name));
  }
}

TEST(CardsTest, FiguresAreThoseOfTheirGeneration) {
  int before = 0;
  for (const CardModel& card : CardModels()) {
    const int capability = card.compute_capability;
    EXPECT_TRUE(capability == 50 || capability == 52 || capability == 60 || capability == 61 ||
                capability == 70 || capability == 75 || capability == 80 || capability == 86 ||
                capability == 89 || capability == 90 || capability == 100 || capability == 120)
        << card.name;
    EXPECT_GE(capability / 10, before / 10) << card.name << ": oldest generation first";
    before = capability;
    EXPECT_GE(card.memory_gib, 2) << card.name;
    EXPECT_LE(card.memory_gib, 192) << card.name;
    // Reading all of its memory once takes a card from a hundredth to a seventh of a second.
    const double sweep = card.memory_gib * 1.0737 / card.gigabytes_per_second;
    EXPECT_GT(sweep, 0.007) << card.name;
    EXPECT_LT(sweep, 0.15) << card.name;
    EXPECT_GE(card.f16_teraflops, card.f32_teraflops) << card.name;
    const double gain = card.f16_teraflops / card.f32_teraflops;
    // Only one Pascal chip multiplies 16-bit numbers faster, two at a time.
    const bool no_fast_f16 = capability < 70 && capability != 60;
    EXPECT_LE(gain, no_fast_f16 ? 1 : capability == 60 ? 2.02 : 38) << card.name;
    // Bytes a product must use many times before arithmetic is what it waits for.
    EXPECT_GT(card.f16_teraflops * 1e3 / card.gigabytes_per_second, 10) << card.name;
  }
}

TEST(CardsTest, PeoplesSpellingsAreFound) {
  for (const char* name : {"tesla-m40", "Tesla M40", "m40", "NVIDIA Tesla M40", "TESLA_M40"}) {
    LC_ASSERT_OK_AND_ASSIGN(const CardModel card, FindCardModel(name));
    EXPECT_STREQ(card.name, "tesla-m40") << name;
  }
  LC_ASSERT_OK_AND_ASSIGN(const CardModel card, FindCardModel("NVIDIA GeForce RTX 3090"));
  EXPECT_EQ(card.memory_gib, 24);
}

TEST(CardsTest, UnknownCardsGetTheNearestName) {
  EXPECT_THAT(FindCardModel("p106-10"),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("did you mean p106-100?"), HasSubstr("--list-cards"))));
  EXPECT_THAT(FindCardModel("voodoo"),
              StatusIs(absl::StatusCode::kNotFound, Not(HasSubstr("did you mean"))));
}

TEST(CardsTest, DevicesAreReckonedWithWhatIsAttainable) {
  LC_ASSERT_OK_AND_ASSIGN(const CardModel card, FindCardModel("rtx-3090"));
  EXPECT_EQ(DeviceOf(card).total_bytes(), uint64_t{24} << 30);
  EXPECT_LT(DeviceOf(card).free_bytes(), DeviceOf(card).total_bytes());
  EXPECT_DOUBLE_EQ(ProfileOf(card).bandwidth_bytes_per_second(), 936e9 * kAttainableBandwidth);
  EXPECT_DOUBLE_EQ(ProfileOf(card).flops_per_second(), 71.2e12 * kAttainableOperations);
}

TEST(CardsTest, TheListShowsAll) {
  const std::string list = FormatCards();
  EXPECT_THAT(list, AllOf(HasSubstr("tesla-m40"), HasSubstr("12.0"), HasSubstr("b200"),
                          HasSubstr("75% of the bandwidth")));
  EXPECT_GT(std::count(list.begin(), list.end(), '\n'), 90);
}

}  // namespace
}  // namespace layercake
