#include "worker/model/rotary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

namespace layercake {
namespace {

using Type = RopeScaling::Type;

ModelConfig SomeConfig(Type type) {
  ModelConfig config;
  config.head_dim = 64;
  config.rope_theta = 500000;
  config.max_context_tokens = 131072;
  config.rope_scaling.type = type;
  config.rope_scaling.factor = 8;
  config.rope_scaling.original_max_position_embeddings = 8192;
  return config;
}

double Plain(const ModelConfig& config, int64_t i) {
  return std::pow(config.rope_theta,
                  -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim));
}

// tests/golden/models compares whole models with transformers; these hold each formula to its
// definition, at the sizes of real models.
TEST(RotaryTest, PlainFrequenciesFallGeometrically) {
  const ModelConfig config = SomeConfig(Type::kNone);
  const auto frequencies = Rotary(config).Frequencies(0);
  ASSERT_EQ(frequencies.size(), 32);
  for (int64_t i = 0; i < 32; ++i) EXPECT_NEAR(frequencies[i] / Plain(config, i), 1, 1e-6);
}

TEST(RotaryTest, LinearDividesAllFrequencies) {
  const ModelConfig config = SomeConfig(Type::kLinear);
  const auto frequencies = Rotary(config).Frequencies(0);
  for (int64_t i = 0; i < 32; ++i) EXPECT_NEAR(frequencies[i] / Plain(config, i), 0.125, 1e-6);
}

TEST(RotaryTest, Llama3KeepsShortWavesAndDividesLongOnes) {
  const ModelConfig config = SomeConfig(Type::kLlama3);
  const auto frequencies = Rotary(config).Frequencies(0);
  int kept = 0, divided = 0, between = 0;
  for (int64_t i = 0; i < 32; ++i) {
    const double plain = Plain(config, i), waves = 8192 * plain / (2 * std::numbers::pi);
    double expected = 0.125;
    if (waves > 4) {
      expected = 1;
      ++kept;
    } else if (waves < 1) {
      ++divided;
    } else {
      const double smooth = (waves - 1) / 3;
      expected = (1 - smooth) / 8 + smooth;
      ++between;
    }
    EXPECT_NEAR(frequencies[i] / plain, expected, 2e-6) << i;
  }
  EXPECT_GT(std::min({kept, divided, between}), 0);
}

TEST(RotaryTest, YarnRampsBetweenFastAndSlowWavesAndScalesMagnitude) {
  const ModelConfig config = SomeConfig(Type::kYarn);
  const Rotary rotary(config);
  const auto frequencies = rotary.Frequencies(0);
  const auto dimension = [](double waves) {
    return 64 * std::log(8192 / (waves * 2 * std::numbers::pi)) / (2 * std::log(500000.0));
  };
  const double low = std::floor(dimension(32)), high = std::ceil(dimension(1));
  for (int64_t i = 0; i < 32; ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    EXPECT_NEAR(frequencies[i] / Plain(config, i), ramp / 8 + (1 - ramp), 2e-6) << i;
  }
  std::vector<float> angles(64);
  rotary.FillAngles(0, angles.data());
  EXPECT_NEAR(angles[0], 0.1 * std::log(8.0) + 1, 1e-6);
}

TEST(RotaryTest, DynamicStretchesOnlyBeyondTheLengthTrainedAt) {
  const ModelConfig config = SomeConfig(Type::kDynamic);
  const Rotary rotary(config);
  EXPECT_EQ(rotary.Frequencies(8191), Rotary(SomeConfig(Type::kNone)).Frequencies(0));
  const auto frequencies = rotary.Frequencies(16383);  // a sequence twice as long
  const double base = 500000 * std::pow(8.0 * 2 - 7, 64.0 / 62);
  for (int64_t i = 0; i < 32; ++i) {
    EXPECT_NEAR(frequencies[i] * std::pow(base, static_cast<double>(i) / 32), 1, 2e-6) << i;
  }
}

TEST(RotaryTest, AnglesAreCosinesThenSines) {
  ModelConfig config = SomeConfig(Type::kNone);
  config.head_dim = 10;
  const Rotary rotary(config);
  const auto frequencies = rotary.Frequencies(0);
  std::vector<float> angles(10);
  for (const int64_t position : {0, 1, 100, 8000}) {
    rotary.FillAngles(position, angles.data());
    for (int64_t i = 0; i < 5; ++i) {
      const double angle = static_cast<float>(position) * frequencies[i];
      EXPECT_NEAR(angles[i], std::cos(angle), 1e-6);
      EXPECT_NEAR(angles[i + 5], std::sin(angle), 1e-6);
    }
  }
}

}  // namespace
}  // namespace layercake
