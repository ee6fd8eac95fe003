#include "coordinator/text/stop_detector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace layercake {
namespace {

struct Expected {
  std::string text;
  std::optional<std::string> matched;
};

// The stop string that ends first, and of those the longest, found by trying everything.
Expected ByDefinition(const std::string& text, const std::vector<std::string>& stops,
                      bool include) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<std::string> best;
    for (const std::string& stop : stops) {
      if (stop.empty() || stop.size() > end) continue;
      if (text.compare(end - stop.size(), stop.size(), stop) != 0) continue;
      if (!best.has_value() || stop.size() > best->size()) best = stop;
    }
    if (best.has_value()) return {text.substr(0, include ? end : end - best->size()), best};
  }
  return {text, std::nullopt};
}

// Whether `emitted` could still turn out to reach into a stop string.
bool ReachesIntoStop(const std::string& seen, size_t emitted,
                     const std::vector<std::string>& stops) {
  for (size_t begin = 0; begin < emitted; ++begin) {
    for (const std::string& stop : stops) {
      const std::string tail = seen.substr(begin);
      if (tail.size() < stop.size() && stop.compare(0, tail.size(), tail) == 0) return true;
    }
  }
  return false;
}

TEST(StopDetectorTest, AgreesWithTheDefinitionHoweverTheTextIsCut) {
  std::mt19937 random(3);
  const auto word = [&](size_t max) {
    std::string text;
    for (size_t n = random() % (max + 1); n > 0; --n) text += static_cast<char>('a' + random() % 3);
    return text;
  };
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops;
    for (size_t n = random() % 4; n > 0; --n) stops.push_back(word(5));
    const bool include = random() % 2 == 0;
    const std::string text = word(20);
    StopDetector detector(stops, include);
    std::string emitted, seen;
    for (size_t pos = 0; pos < text.size() && !detector.stopped();) {
      const size_t length = 1 + random() % 4;
      seen += text.substr(pos, length);
      emitted += detector.Push(text.substr(pos, length));
      pos += length;
      if (!detector.stopped()) {
        EXPECT_FALSE(ReachesIntoStop(seen, emitted.size(), stops)) << seen << " | " << emitted;
      }
    }
    emitted += detector.Flush();
    const Expected expected = ByDefinition(text, stops, include);
    EXPECT_EQ(emitted, expected.text);
    EXPECT_EQ(detector.matched(), expected.matched);
  }
}

TEST(StopDetectorTest, EmitsAtOnceWhatCannotBecomeAStop) {
  StopDetector detector({"</end>"});
  EXPECT_EQ(detector.Push("Hello <"), "Hello ");
  EXPECT_EQ(detector.Push("/e"), "");
  EXPECT_EQ(detector.Push("x"), "</ex");
  EXPECT_EQ(detector.Push("</end> more"), "");
  EXPECT_TRUE(detector.stopped());
  EXPECT_EQ(detector.Push("dropped"), "");
  EXPECT_EQ(detector.Flush(), "");
}

TEST(StopDetectorTest, WithoutStopsTextPassesThrough) {
  StopDetector detector({""});
  EXPECT_EQ(detector.Push("abc"), "abc");
  EXPECT_EQ(detector.Flush(), "");
  EXPECT_FALSE(detector.stopped());
}

}  // namespace
}  // namespace layercake
