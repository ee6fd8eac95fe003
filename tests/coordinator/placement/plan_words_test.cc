// What a plan says of itself: reasons, what is proven, and notes.

#include "absl/strings/str_cat.h"
#include "coordinator/placement/planner.h"
#include "tests/coordinator/placement/fixtures.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr double kGiB = 1 << 30;

std::vector<PlannerDevice> M40AndP106() { return {Gpu("m40", 12e9), Gpu("p106", 6e9, 192e9)}; }

std::string ReasonOf(const v1::Plan& plan, const std::string& worker) {
  for (const auto& stage : plan.stages()) {
    if (stage.worker() == worker) return stage.reason();
  }
  return "no stage";
}

TEST(PlanWordsTest, ASharePartedWithSaysWhoIsFull) {
  v1::PlanOptions options;
  options.set_policy(v1::PlanOptions::POLICY_BALANCED);
  options.set_context_tokens(1024);
  LC_ASSERT_OK_AND_ASSIGN(v1::Plan plan, MakePlan(Llama3_8B(), M40AndP106(), options, "m"));
  ASSERT_EQ(plan.stages(0).num_layers(), 22);
  EXPECT_THAT(
      ReasonOf(plan, "m40"),
      StartsWith("22 layers; an equal share would be 16.0, but p106 holds no more than 10"));
  EXPECT_THAT(ReasonOf(plan, "p106"), AllOf(StartsWith("10 layers; an equal share would be 16.0"),
                                            HasSubstr("as many layers as fit")));
  options.set_policy(v1::PlanOptions::POLICY_PROPORTIONAL);
  options.add_split(1e-300);
  options.add_split(1);
  LC_ASSERT_OK_AND_ASSIGN(plan, MakePlan(Llama3_8B(), M40AndP106(), options, "m"));
  EXPECT_THAT(ReasonOf(plan, "m40"), HasSubstr("its share in --split would be 0.0, but p106"));
}

TEST(PlanWordsTest, OnlyAnAutomaticPlanClaimsToBeTheBest) {
  LC_ASSERT_OK_AND_ASSIGN(v1::Plan plan, MakePlan(TinyModel(4), M40AndP106(), {}, "m"));
  EXPECT_TRUE(plan.has_optimality_gap());
  for (const auto policy : {v1::PlanOptions::POLICY_BALANCED, v1::PlanOptions::POLICY_SEQUENTIAL}) {
    v1::PlanOptions options;
    options.set_policy(policy);
    LC_ASSERT_OK_AND_ASSIGN(plan, MakePlan(TinyModel(4), M40AndP106(), options, "m"));
    EXPECT_FALSE(plan.has_optimality_gap());
  }
}

TEST(PlanWordsTest, AGapThatMayBeOfMoreReplicasIsSaid) {
  const std::vector<PlannerDevice> devices = {Gpu("gpu", 24e9, 900e9), Cpu("cpu", 64e9)};
  LC_ASSERT_OK_AND_ASSIGN(v1::Plan plan, MakePlan(Llama3_8B(), devices, {}, "m"));
  ASSERT_EQ(plan.num_replicas(), 1);
  ASSERT_GT(plan.optimality_gap(), 0);
  EXPECT_THAT(plan.notes(), Contains(HasSubstr("within 2%")));
  v1::PlanOptions options;
  options.set_replicas(1);
  LC_ASSERT_OK_AND_ASSIGN(plan, MakePlan(Llama3_8B(), devices, options, "m"));
  EXPECT_EQ(plan.optimality_gap(), 0);
  EXPECT_THAT(plan.notes(), IsEmpty());
}

TEST(PlanWordsTest, APredictionSaysHowManySequencesItIsOf) {
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), M40AndP106(), {}, "m"));
  ASSERT_EQ(plan.predictions_size(), 1);
  const v1::ReplicaPrediction& prediction = plan.predictions(0);
  EXPECT_LT(prediction.step_sequences(), plan.max_batch_sequences());
  EXPECT_EQ(prediction.sequences_in_flight(), 2 * prediction.step_sequences());
  EXPECT_EQ(prediction.sequence_tokens(), 2048);
  EXPECT_LE(prediction.sequences_in_flight() * 2048,
            plan.stages(0).num_blocks() * plan.block_size_tokens());
}

TEST(PlanWordsTest, ABatchAskedForThatKvDoesNotHoldIsSaid) {
  v1::PlanOptions options;
  options.set_context_tokens(4096);
  const std::vector<PlannerDevice> card = {Gpu("card", 20 * kGiB)};
  LC_ASSERT_OK_AND_ASSIGN(v1::Plan plan, MakePlan(Llama3_8B(), card, options, "m"));
  EXPECT_THAT(plan.notes(), IsEmpty());
  options.set_batch_sequences(16);
  LC_ASSERT_OK_AND_ASSIGN(plan, MakePlan(Llama3_8B(), card, options, "m"));
  const int held = plan.stages(0).num_blocks() / 256;
  ASSERT_LT(held, 16);
  EXPECT_THAT(
      plan.notes(),
      Contains(HasSubstr(absl::StrCat("KV holds ", held, " of the 16 sequences of --batch"))));
  options.set_batch_sequences(held);
  LC_ASSERT_OK_AND_ASSIGN(plan, MakePlan(Llama3_8B(), card, options, "m"));
  EXPECT_THAT(plan.notes(), IsEmpty());
}

TEST(PlanWordsTest, AssumedSpeedsAreSaid) {
  std::vector<PlannerDevice> devices = M40AndP106();
  LC_ASSERT_OK_AND_ASSIGN(v1::Plan plan, MakePlan(Llama3_8B(), devices, {}, "m"));
  EXPECT_THAT(plan.notes(), IsEmpty());
  devices[0].profile.clear_flops_per_second();
  devices[1].profile.Clear();
  LC_ASSERT_OK_AND_ASSIGN(plan, MakePlan(Llama3_8B(), devices, {}, "m"));
  EXPECT_THAT(plan.notes(), Contains(AllOf(StartsWith("Speed assumed"),
                                           HasSubstr("200 GB/s and 5.00 TFLOPS (p106)"),
                                           HasSubstr("; 5.00 TFLOPS (m40)"))));
}

TEST(PlanWordsTest, WhatWorkersCannotLoadIsSaid) {
  ModelConfig model = TinyModel(4);
  model.not_runnable = "workers compute no such layers";
  LC_ASSERT_OK_AND_ASSIGN(v1::Plan plan, MakePlan(model, M40AndP106(), {}, "m"));
  EXPECT_THAT(plan.notes(), Contains(HasSubstr("cannot load this: workers compute no such")));
  model = TinyModel(4);
  model.quantization = Quantization{.method = "awq", .bits = 4};
  v1::PlanOptions options;
  LC_ASSERT_OK_AND_ASSIGN(plan, MakePlan(model, M40AndP106(), options, "m"));
  EXPECT_THAT(plan.notes(), Not(Contains(HasSubstr("cannot load"))));
  options.set_weight_type(v1::WEIGHT_TYPE_INT8);
  LC_ASSERT_OK_AND_ASSIGN(plan, MakePlan(model, M40AndP106(), options, "m"));
  EXPECT_THAT(plan.notes(),
              Contains(HasSubstr("cannot load this: the plan holds weights as int8")));
}

}  // namespace
}  // namespace layercake
