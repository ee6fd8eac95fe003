#include "coordinator/options/plan_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace layercake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::PlanOptions Parse(const std::string& flags) {
  CLI::App app;
  v1::PlanOptions options;
  AddPlanFlags(app, &options);
  app.parse(flags);
  return options;
}

std::string ParseError(const std::string& flags) {
  try {
    Parse(flags);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return "";
}

TEST(PlanFlagsTest, NoFlagsLeaveDefaults) {
  EXPECT_EQ(Parse("").SerializeAsString(), v1::PlanOptions().SerializeAsString());
}

TEST(PlanFlagsTest, PolicyAndObjectiveByName) {
  const v1::PlanOptions options = Parse("--policy sequential --objective latency");
  EXPECT_EQ(options.policy(), v1::PlanOptions::POLICY_SEQUENTIAL);
  EXPECT_EQ(options.objective(), v1::PlanOptions::OBJECTIVE_LATENCY);
}

TEST(PlanFlagsTest, SplitImpliesProportional) {
  const v1::PlanOptions options = Parse("--split 12,6.5");
  EXPECT_THAT(options.split(), ElementsAre(12, 6.5));
  EXPECT_EQ(options.policy(), v1::PlanOptions::POLICY_PROPORTIONAL);
}

TEST(PlanFlagsTest, LayersAreInclusiveRangesAndImplyManual) {
  const v1::PlanOptions options = Parse("--layers m40=0-19,p106:0=20-31 --layers cpu=32");
  ASSERT_EQ(options.manual_size(), 3);
  EXPECT_EQ(options.manual(0).worker(), "m40");
  EXPECT_EQ(options.manual(0).num_layers(), 20);
  EXPECT_EQ(options.manual(1).worker(), "p106:0");
  EXPECT_EQ(options.manual(1).first_layer(), 20);
  EXPECT_EQ(options.manual(1).num_layers(), 12);
  EXPECT_EQ(options.manual(2).num_layers(), 1);
  EXPECT_EQ(options.policy(), v1::PlanOptions::POLICY_MANUAL);
}

TEST(PlanFlagsTest, APolicyNamedIsKeptWhateverElseIsGiven) {
  const v1::PlanOptions options = Parse("--policy auto --split 1,2");
  EXPECT_EQ(options.policy(), v1::PlanOptions::POLICY_AUTO);
  EXPECT_THAT(options.split(), ElementsAre(1, 2));
  EXPECT_EQ(Parse("--layers a=0-1 --policy auto").policy(), v1::PlanOptions::POLICY_AUTO);
}

TEST(PlanFlagsTest, TellsWhichWereGivenDefaultsToo) {
  CLI::App app;
  v1::PlanOptions options;
  AddPlanFlags(app, &options);
  app.parse("--policy auto --max-memory a=1GiB --max-memory 'my b=2GiB' --batch 3");
  EXPECT_THAT(GivenPlanFlags(app),
              ElementsAre("--policy auto", "--max-memory a=1GiB", "--max-memory 'my b=2GiB'",
                          "--batch 3"));
  app.parse("");
  EXPECT_THAT(GivenPlanFlags(app), ElementsAre());
}

TEST(PlanFlagsTest, MaxMemoryForAllAndByName) {
  const v1::PlanOptions options = Parse("--max-memory 4GiB,m40=11.5GiB --max-memory p106=6GB");
  EXPECT_EQ(options.max_memory_bytes().at(""), uint64_t{4} << 30);
  EXPECT_EQ(options.max_memory_bytes().at("m40"), uint64_t{23} << 29);
  EXPECT_EQ(options.max_memory_bytes().at("p106"), 6'000'000'000u);
}

TEST(PlanFlagsTest, ReserveForAllAndByName) {
  const v1::PlanOptions options = Parse("--reserve 0 --reserve m40=1GiB,p106=300MB");
  EXPECT_EQ(options.reserve_bytes().at(""), 0u);
  EXPECT_EQ(options.reserve_bytes().at("m40"), 1u << 30);
  EXPECT_EQ(options.reserve_bytes().at("p106"), 300'000'000u);
}

TEST(PlanFlagsTest, OrderExcludeAndLimits) {
  const v1::PlanOptions options = Parse(
      "--order b,a --exclude c --context 4096 --batch 8 --step-tokens 128 "
      "--kv-type f16 --replicas 2");
  EXPECT_THAT(options.order(), ElementsAre("b", "a"));
  EXPECT_THAT(options.exclude(), ElementsAre("c"));
  EXPECT_EQ(options.context_tokens(), 4096);
  EXPECT_EQ(options.batch_sequences(), 8);
  EXPECT_EQ(options.step_tokens(), 128);
  EXPECT_EQ(options.kv_type(), v1::KV_TYPE_F16);
  EXPECT_EQ(options.replicas(), 2);
}

TEST(PlanFlagsTest, WeightsByName) {
  EXPECT_EQ(Parse("--weights auto").weight_type(), v1::WEIGHT_TYPE_AUTO);
  EXPECT_EQ(Parse("--weights int4").weight_type(), v1::WEIGHT_TYPE_INT4);
  EXPECT_THAT(ParseError("--weights q4"), HasSubstr("none of auto, f32, bf16"));
}

TEST(PlanFlagsTest, ActivationsByName) {
  EXPECT_EQ(Parse("").activation_type(), v1::ACTIVATION_TYPE_UNSPECIFIED);
  EXPECT_EQ(Parse("--activations bf16").activation_type(), v1::ACTIVATION_TYPE_BF16);
  EXPECT_THAT(ParseError("--activations int8"), HasSubstr("none of f32, bf16, f16"));
}

TEST(PlanFlagsTest, AutoIsZero) {
  EXPECT_EQ(Parse("--context auto").context_tokens(), 0);
  EXPECT_EQ(Parse("--replicas auto").replicas(), 0);
}

TEST(PlanFlagsTest, BadValuesSayWhatWasExpected) {
  EXPECT_THAT(ParseError("--policy fast"), HasSubstr("none of auto, balanced"));
  EXPECT_THAT(ParseError("--objective fast"), HasSubstr("none of throughput"));
  EXPECT_THAT(ParseError("--split 1,x"), HasSubstr("\"x\" is not a share"));
  EXPECT_THAT(ParseError("--split 1,-2"), HasSubstr("\"-2\" is not a share"));
  EXPECT_THAT(ParseError("--layers a=3-1"), HasSubstr("worker=first-last"));
  EXPECT_THAT(ParseError("--layers 0-3"), HasSubstr("worker=first-last"));
  EXPECT_THAT(ParseError("--layers a=0-1-2"), HasSubstr("worker=first-last"));
  EXPECT_THAT(ParseError("--layers a=0-99999999999"), HasSubstr("worker=first-last"));
  EXPECT_THAT(ParseError("--max-memory 4parsecs"), HasSubstr("not a size"));
  EXPECT_THAT(ParseError("--max-memory m40=11.5"), HasSubstr("\"11.5\" has no unit"));
  EXPECT_THAT(ParseError("--max-memory m40=12"), HasSubstr("is 12 B, too little for a device"));
  EXPECT_THAT(ParseError("--max-memory 0"), HasSubstr("too little for a device"));
  EXPECT_THAT(ParseError("--max-memory a=1GiB,a=2GiB"), HasSubstr("twice for a"));
  EXPECT_THAT(ParseError("--reserve much"), HasSubstr("not a size"));
  EXPECT_THAT(ParseError("--reserve 1GiB,2GiB"), HasSubstr("twice for all"));
  EXPECT_THAT(ParseError("--reserve =1GiB"), HasSubstr("no worker before the ="));
  EXPECT_THAT(ParseError("--order a,,b"), HasSubstr("empty item"));
  EXPECT_THAT(ParseError("--context 0"), HasSubstr("at least 1"));
  EXPECT_THAT(ParseError("--replicas 0"), HasSubstr("at least 1"));
  EXPECT_THAT(ParseError("--batch many"), HasSubstr("\"many\" is not a whole number"));
  EXPECT_THAT(ParseError("--kv-type int3"), HasSubstr("none of auto, f32, f16"));
}

}  // namespace
}  // namespace layercake
