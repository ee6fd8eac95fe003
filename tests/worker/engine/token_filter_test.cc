#include "worker/engine/token_filter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

namespace layercake {
namespace {

// Logits with ties, zeros of both signs and -infinities among them.
std::vector<float> SomeLogits(std::mt19937& random, size_t size) {
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(size);
  for (float& logit : logits) {
    logit = normal(random);
    switch (random() % 8) {
      case 0:
        logit = std::round(logit);
        break;
      case 1:
        logit = random() % 2 == 0 ? 0.0f : -0.0f;
        break;
      case 2:
        logit = -INFINITY;
        break;
    }
  }
  logits[random() % size] = 1.5f;
  return logits;
}

// Ids from the likeliest on, by sorting.
std::vector<size_t> Order(const std::vector<float>& logits) {
  std::vector<size_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(),
                   [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  return ids;
}

TEST(KeepTopKTest, KeepsWhatSortingKeeps) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const size_t size : {1, 2, 255, 1000, 5003}) {
    for (const size_t k : {1, 2, 7, 100, 999, 6000}) {
      const std::vector<float> logits = SomeLogits(random, size);
      std::vector<float> expected(size, -INFINITY), kept = logits;
      const auto order = Order(logits);
      for (size_t i = 0; i < std::min(k, size); ++i) expected[order[i]] = logits[order[i]];
      KeepTopK(kept, static_cast<int64_t>(k));
      ASSERT_EQ(kept, expected) << size << " " << k;
    }
  }
}

TEST(KeepTopPTest, KeepsTheSmallestSetThatReachesTheShare) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const size_t size : {1, 2, 300, 5003}) {
    for (const double share : {1e-6, 0.1, 0.5, 0.9, 0.999, 1 - 1e-12}) {
      const std::vector<float> logits = SomeLogits(random, size);
      const float max = *std::max_element(logits.begin(), logits.end());
      const auto order = Order(logits);
      std::vector<float> kept = logits;
      KeepTopP(kept, {max, 0.7f}, share);
      size_t count = 0;
      while (count < size && kept[order[count]] != -INFINITY) ++count;
      for (size_t i = 0; i < size; ++i) {
        ASSERT_EQ(kept[order[i]], i < count ? logits[order[i]] : -INFINITY);
      }
      const auto weight = [&](size_t i) {
        return std::exp((double{logits[order[i]]} - max) * double{0.7f});
      };
      double total = 0, sum = 0;
      for (size_t i = 0; i < size; ++i) total += weight(i);
      for (size_t i = 0; i < count; ++i) sum += weight(i);
      ASSERT_GE(count, 1);
      EXPECT_GE(sum, (share - 1e-6) * total);
      EXPECT_TRUE(count == 1 || sum - weight(count - 1) < (share + 1e-6) * total);
    }
  }
}

TEST(KeepMinPTest, KeepsWeightsOfAtLeastTheShare) {
  std::vector<float> logits = {0, std::log(0.5f) - 1e-4f, std::log(0.5f) + 1e-4f, -INFINITY, -50};
  KeepMinP(logits, {0, 1}, 0.5f);
  EXPECT_EQ(logits[0], 0);
  EXPECT_EQ(logits[1], -INFINITY);
  EXPECT_EQ(logits[2], std::log(0.5f) + 1e-4f);
  EXPECT_EQ(logits[3], -INFINITY);
  EXPECT_EQ(logits[4], -INFINITY);
  KeepMinP(logits, {0, 1}, 1);
  EXPECT_EQ(logits[0], 0);
}

TEST(DrawTest, InvertsTheDistributionInOrderOfIds) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::vector<float> logits = SomeLogits(random, 3001);
  const float max = *std::max_element(logits.begin(), logits.end());
  std::vector<double> cumulative;
  double sum = 0;
  for (const float logit : logits) cumulative.push_back(sum += std::exp(double{logit} - max));
  for (int i = 0; i < 2000; ++i) {
    const double uniform = std::generate_canonical<double, 53>(random);
    const size_t id = Draw(logits, {max, 1}, uniform);
    EXPECT_GE(cumulative[id], (uniform - 1e-6) * sum);
    EXPECT_LE(id == 0 ? 0 : cumulative[id - 1], (uniform + 1e-6) * sum);
    EXPECT_NE(logits[id], -INFINITY);
  }
}

TEST(DrawTest, EndsAreTheFirstAndLastThatCanBeDrawn) {
  std::vector<float> logits(700, -INFINITY);
  logits[3] = 1;
  logits[600] = 1;
  EXPECT_EQ(Draw(logits, {1, 1}, 0), 3);
  EXPECT_EQ(Draw(logits, {1, 1}, 1 - 0x1p-53), 600);
}

// Few tokens stay, one way or another: drawn alike by both ways, up to the order of the draw.
TEST(DrawFromLikeliestTest, KnowsWhenTheListSuffices) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> logits(5000);
  for (float& logit : logits) logit = normal(random);
  const float max = *std::max_element(logits.begin(), logits.end());
  const Softmax flat = {max, 1}, steep = {max, 20};
  EXPECT_FALSE(DrawFromLikeliest(logits, flat, 0, 0, 1, 0.5).has_value());
  EXPECT_FALSE(DrawFromLikeliest(logits, flat, 0, 0, 0.9, 0.5).has_value());
  EXPECT_FALSE(DrawFromLikeliest(logits, flat, 1000, 0, 1, 0.5).has_value());
  EXPECT_FALSE(DrawFromLikeliest(logits, flat, 0, 0.01f, 1, 0.5).has_value());
  EXPECT_TRUE(DrawFromLikeliest(logits, flat, 50, 0, 1, 0.5).has_value());
  EXPECT_TRUE(DrawFromLikeliest(logits, flat, 0, 0.5f, 1, 0.5).has_value());
  EXPECT_TRUE(DrawFromLikeliest(logits, steep, 0, 0, 0.9, 0.5).has_value());
  EXPECT_FALSE(DrawFromLikeliest(logits, steep, 1000, 0, 0.9, 0.5).has_value());
}

TEST(DrawFromLikeliestTest, DrawsFromTheLikeliestOn) {
  // Weights 4, 3, 2, 1, of ids 2, 0, 3, 1, and a tie for the last place.
  const std::vector<float> logits = {std::log(3.0f), 0, std::log(4.0f), std::log(2.0f), 0};
  const Softmax softmax = {std::log(4.0f), 1};
  const auto draw = [&](double uniform) {
    return *DrawFromLikeliest(logits, softmax, 4, 0, 1, uniform);
  };
  EXPECT_EQ(draw(0), 2);
  EXPECT_EQ(draw(0.39), 2);
  EXPECT_EQ(draw(0.41), 0);
  EXPECT_EQ(draw(0.71), 3);
  EXPECT_EQ(draw(0.91), 1);
  EXPECT_EQ(draw(1 - 0x1p-53), 1);
}

}  // namespace
}  // namespace layercake
