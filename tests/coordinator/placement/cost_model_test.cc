#include "coordinator/placement/cost_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "coordinator/placement/device_speed.h"
#include "tests/coordinator/placement/fixtures.h"

namespace layercake {
namespace {

using Rates = google::protobuf::RepeatedPtrField<v1::StreamRate>;

void AddRate(const std::string& format, int rows, uint64_t bytes, double rate, Rates* rates) {
  v1::StreamRate* entry = rates->Add();
  entry->set_format(format);
  entry->set_rows(rows);
  entry->set_working_set_bytes(bytes);
  entry->set_bytes_per_second(rate);
}

TEST(StreamTableTest, IsWhatWasMeasuredAndLinearBetween) {
  Rates rates;
  AddRate("bf16", 4, 1 << 20, 20, &rates);
  AddRate("bf16", 1, 1 << 20, 40, &rates);
  AddRate("bf16", 1, 16 << 20, 10, &rates);
  AddRate("bf16", 4, 16 << 20, 10, &rates);
  AddRate("f32", 1, 1 << 20, 1000, &rates);
  const StreamTable table(rates, "bf16");
  const double small = 1 << 20, large = 16 << 20;
  EXPECT_DOUBLE_EQ(table.most_rows(), 4);
  EXPECT_DOUBLE_EQ(table.SecondsPerByte(1, small), 1.0 / 40);
  EXPECT_DOUBLE_EQ(table.SecondsPerByte(4, small), 1.0 / 20);
  EXPECT_DOUBLE_EQ(table.SecondsPerByte(2, small), 1.0 / 40 + (1.0 / 20 - 1.0 / 40) / 3);
  // Beyond the ends: as the nearest working set, and in proportion to rows.
  EXPECT_DOUBLE_EQ(table.SecondsPerByte(8, small / 2), 2.0 / 20);
  EXPECT_DOUBLE_EQ(table.SecondsPerByte(0.5, 4 * large), 1.0 / 10);
  // Halfway on the logarithm.
  EXPECT_NEAR(table.SecondsPerByte(1, 4 * small), (1.0 / 40 + 1.0 / 10) / 2, 1e-12);
}

TEST(StreamTableTest, NonsenseIsNoRate) {
  Rates rates;
  AddRate("bf16", 0, 1, 1, &rates);
  AddRate("bf16", 1, 0, 1, &rates);
  AddRate("bf16", 1, 1, 0, &rates);
  AddRate("bf16", 1, 1, -1, &rates);
  AddRate("bf16", 1, 1, std::numeric_limits<double>::quiet_NaN(), &rates);
  EXPECT_TRUE(StreamTable(rates, "bf16").empty());
}

// A device that reads weights at 100 bytes a second for 1 row and multiplies 32 a second, so to
// say.
v1::DeviceProfile MeasuredProfile() {
  v1::DeviceProfile profile;
  for (const uint64_t bytes : {uint64_t{1} << 20, uint64_t{1} << 30}) {
    AddRate("f32", 1, bytes, 100e6, profile.mutable_weights());
    AddRate("f32", 16, bytes, 50e6, profile.mutable_weights());
    AddRate("f32", 2, bytes, 200e6, profile.mutable_kv());
    AddRate("f32", 48, bytes, 100e6, profile.mutable_kv());
  }
  profile.set_layer_seconds(3e-6);
  profile.set_activation_values_per_second(1e9);
  profile.set_logits_per_second(1e8);
  return profile;
}

DeviceSpeed Figures(double bytes_per_second, double flops_per_second) {
  const PlannerDevice device =
      MakeDevice("c", v1::DEVICE_KIND_CPU, 1e9, bytes_per_second, flops_per_second);
  return SpeedOf(device.device, device.profile);
}

class CostModelTest : public ::testing::Test {
 protected:
  CostModelTest()
      : model_(TinyModel(6)),
        limits_{.max_context_tokens = 256},
        cost_(model_, limits_),
        measured_(SpeedOf(v1::Device(), MeasuredProfile())) {}

  double Products(int64_t layers, double rate) const {
    return static_cast<double>(layers * LayerWeightBytes(model_, 0)) / rate;
  }
  // Two norms, two sums, q and twice kv, both gate halves: see the profile.
  static constexpr double kActivationValues = 4 * 64 + (4 + 2 * 2) * 16 + 2 * 128;

  const ModelConfig model_;
  const StageLimits limits_;
  const CostModel cost_;
  const DeviceSpeed measured_;
};

TEST_F(CostModelTest, ADecodeStepAddsUpFromItsParts) {
  const StepSlice slice = {.position = 99};
  // Keys and values of 100 tokens, 2 kv heads of 16, f32, on 2 layers; 2 queries share each head.
  const double kv = 2 * 100 * 2 * 2 * 16 * 4 / 200e6;
  EXPECT_NEAR(cost_.StepSeconds(measured_, 1, 2, {&slice, 1}),
              Products(2, 100e6) + kv + 2 * (3e-6 + kActivationValues / 1e9), 2e-8);
}

TEST_F(CostModelTest, TheHeadCountsOnlyRowsThatAreSampled) {
  StepSlice slice = {.position = 0, .num_tokens = 16, .sampled = false};
  const double without = cost_.StepSeconds(measured_, 4, 2, {&slice, 1});
  slice.sampled = true;
  const double head = static_cast<double>(HeadWeightBytes(model_)) / 100e6 + 320 / 1e8;
  EXPECT_NEAR(cost_.StepSeconds(measured_, 4, 2, {&slice, 1}), without + head, 0.01 * head);
  EXPECT_NEAR(cost_.StepSeconds(measured_, 3, 2, {&slice, 1}), without, 1e-6);
}

TEST_F(CostModelTest, APromptReadsItsContextOncePerPassOfQueryRows) {
  // Norms are weights without products, hence no more than nearly equal.
  // 48 rows of 2 queries to a head: 24 tokens a pass; 48 tokens in two, up to 24 and 48 tokens.
  const StepSlice slice = {.num_tokens = 48, .sampled = false};
  const double kv = (24 + 48) * 2 * 2 * 16 * 4 / 100e6;
  EXPECT_NEAR(cost_.StepSeconds(measured_, 1, 1, {&slice, 1}),
              3 * Products(1, 50e6) + kv + 3e-6 + 48 * kActivationValues / 1e9, 5e-5);
}

TEST_F(CostModelTest, WithoutATableItIsBandwidthOrOperations) {
  const DeviceSpeed speed = Figures(1e6, 1e9);
  const StepSlice slice = {.position = 99, .sampled = false};
  const double kv = 100 * 2 * 2 * 16 * 4;
  EXPECT_NEAR(cost_.StepSeconds(speed, 1, 1, {&slice, 1}), Products(1, 1e6) + kv / 1e6, 1e-9);
  const StepSlice prompt = {.num_tokens = 200, .sampled = false};
  EXPECT_GT(cost_.StepSeconds(speed, 1, 1, {&prompt, 1}), 200 * LayerFlops(model_, 0) / 1e9 - 1e-9);
}

TEST_F(CostModelTest, DecodeIsAStepOfTheBatchAtThePlanningContext) {
  const std::vector<StepSlice> batch(4, {.position = 255});
  EXPECT_NEAR(cost_.DecodeSeconds(measured_, 4, 2, 4),
              kStageOverheadSeconds + cost_.StepSeconds(measured_, 4, 2, batch), 1e-9);
}

TEST_F(CostModelTest, SaysInWordsWhatItComputes) {
  EXPECT_THAT(cost_.InWords(), ::testing::HasSubstr("256 tokens long"));
}

}  // namespace
}  // namespace layercake
