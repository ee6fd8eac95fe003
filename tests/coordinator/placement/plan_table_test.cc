#include "coordinator/placement/plan_table.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/base/text_table.h"
#include "coordinator/placement/memory_bars.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kGiB = 1 << 30;

v1::Plan TwoStages() {
  v1::Plan plan;
  plan.set_model("llama-3-8b");
  plan.set_policy("auto, for throughput");
  v1::StagePlan* m40 = plan.add_stages();
  m40->set_worker("m40");
  m40->set_num_layers(20);
  m40->set_has_embedding(true);
  m40->set_weight_bytes(6 * kGiB);
  m40->set_kv_bytes(3 * kGiB);
  m40->set_workspace_bytes(kGiB / 100);
  m40->set_reserve_bytes(kGiB / 4);
  m40->set_available_bytes(12 * kGiB);
  m40->set_link_seconds(0.0005);
  m40->set_activation_bytes(131072);
  m40->set_reason("sets the pace");
  v1::StagePlan* p106 = plan.add_stages();
  p106->set_worker("p106");
  p106->set_first_layer(20);
  p106->set_num_layers(12);
  p106->set_has_head(true);
  p106->set_weight_bytes(6 * kGiB);
  p106->set_available_bytes(6 * kGiB);
  plan.set_max_context_tokens(4096);
  plan.set_largest_context_tokens(7808);
  plan.set_predicted_tokens_per_second(123.4);
  plan.set_predicted_token_seconds(0.05);
  return plan;
}

size_t Count(const std::string& text, char c) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), c));
}

TEST(MemoryBarsTest, BarsAreToOneScaleAndEveryKindIsSeen) {
  const std::vector<std::string> lines =
      absl::StrSplit(FormatMemoryBars(TwoStages(), {.width = 80}), '\n');
  EXPECT_THAT(lines[0], AllOf(HasSubstr("m40 "), HasSubstr("12.0 GiB  embed+0-19")));
  const size_t bar = Count(lines[0], '#') + Count(lines[0], '=') + 1 + Count(lines[0], '.') - 1;
  EXPECT_NEAR(static_cast<double>(Count(lines[0], '#')) / static_cast<double>(bar), 0.5, 0.05);
  EXPECT_NEAR(static_cast<double>(Count(lines[0], '=')) / static_cast<double>(bar), 0.25, 0.05);
  // "embed+0-19" has one more: a hundredth of the memory, and yet a cell.
  EXPECT_EQ(Count(lines[0], '+'), 2u);
  EXPECT_NEAR(static_cast<double>(Count(lines[1], '#')), static_cast<double>(bar) / 2, 1.5);
  EXPECT_EQ(Count(lines[1], '='), 0u);
}

TEST(PlanTableTest, FitsEightyColumns) {
  for (const bool utf8 : {false, true}) {
    const std::string table = FormatPlanTable(TwoStages(), {.width = 80, .utf8 = utf8});
    for (const absl::string_view line : absl::StrSplit(table, '\n')) {
      EXPECT_LE(DisplayWidth(line), 80u) << line;
    }
  }
}

TEST(PlanTableTest, BlocksAndColoursAreForThoseWhoCanShowThem) {
  const std::string plain = FormatPlanTable(TwoStages());
  EXPECT_TRUE(std::all_of(plain.begin(), plain.end(), [](char c) { return c > 0 && c < 127; }));
  EXPECT_THAT(plain, Not(HasSubstr("\x1b[")));
  const std::string shaded = FormatPlanTable(TwoStages(), {.utf8 = true});
  EXPECT_THAT(shaded, AllOf(HasSubstr("█"), HasSubstr("m40 → p106"), Not(HasSubstr("\x1b["))));
  EXPECT_THAT(FormatPlanTable(TwoStages(), {.utf8 = true, .color = true}), HasSubstr("\x1b[34m█"));
}

TEST(PlanTableTest, SaysWhatIsPredictedAndHowSurely) {
  v1::Plan plan = TwoStages();
  EXPECT_THAT(FormatPlanTable(plan), AllOf(HasSubstr("123 tokens/s"), HasSubstr("50.0 ms a token"),
                                           HasSubstr("m40 -> p106 0.500 ms for 128 KiB"),
                                           HasSubstr("up to 7808 would fit"),
                                           Not(HasSubstr("better")), Not(HasSubstr("replicas"))));
  plan.set_optimality_gap(0);
  EXPECT_THAT(FormatPlanTable(plan), HasSubstr("Proven best"));
  plan.set_optimality_gap(0.00001);
  EXPECT_THAT(FormatPlanTable(plan), HasSubstr("is 0.01% better"));
  plan.set_optimality_gap(0.0123);
  plan.set_num_replicas(2);
  EXPECT_THAT(FormatPlanTable(plan),
              AllOf(HasSubstr("more than 1.23% better"), HasSubstr("throughput, 2 replicas)"),
                    HasSubstr("embed+0-19 of replica 0\n")));
}

TEST(PlanTableTest, SaysWhatRatesAreOfInEachReplica) {
  v1::Plan plan = TwoStages();
  const auto add = [&plan](double rate, int step, int in_flight, double seconds) {
    v1::ReplicaPrediction* prediction = plan.add_predictions();
    prediction->set_replica(plan.predictions_size() - 1);
    prediction->set_tokens_per_second(rate);
    prediction->set_step_sequences(step);
    prediction->set_sequences_in_flight(in_flight);
    prediction->set_sequence_tokens(2048);
    prediction->set_token_seconds(seconds);
  };
  add(100, 2, 4, 0.02);
  EXPECT_THAT(
      FormatPlanTable(plan, {.width = 200}),
      HasSubstr("Predicted: 100 tokens/s with all stages busy (2 sequences of 2048 tokens a "
                "step, 4 in flight), 20.0 ms a token for one sequence alone.\n"));
  plan.set_num_replicas(3);
  add(100, 2, 4, 0.02);
  add(23.4, 1, 1, 0.05);
  EXPECT_THAT(FormatPlanTable(plan, {.width = 200}),
              AllOf(HasSubstr("Predicted: 123 tokens/s with all stages busy, 50.0 ms a token for "
                              "one sequence alone in the slowest replica.\n"),
                    HasSubstr("    replicas 0-1, each: 100 tokens/s"),
                    HasSubstr("    replica 2: 23.4 tokens/s with all stages busy (1 sequence of "
                              "2048 tokens a step, 1 in flight), 50.0 ms a token")));
}

TEST(PlanTableTest, NotesStandAtTheEnd) {
  v1::Plan plan = TwoStages();
  plan.add_notes("Workers cannot load this: no.");
  EXPECT_THAT(FormatPlanTable(plan), ::testing::EndsWith("\n  Workers cannot load this: no.\n"));
}

TEST(PlanTableTest, SaysTheBlocksOfOneReplicaAndOfUnlikeOnes) {
  v1::Plan plan = TwoStages();
  plan.set_block_size_tokens(16);
  for (v1::StagePlan& stage : *plan.mutable_stages()) stage.set_num_blocks(500);
  EXPECT_THAT(FormatPlanTable(plan, {.width = 200}),
              HasSubstr("; 500 KV blocks of 16 tokens (8000 tokens in all, f16); up to"));
  v1::StagePlan* other = plan.add_stages();
  other->set_replica(1);
  other->set_num_blocks(700);
  EXPECT_THAT(FormatPlanTable(plan, {.width = 200}),
              HasSubstr("; 500 to 700 KV blocks of 16 tokens in each replica (19200 tokens in all, "
                        "f16); up to"));
  other->set_num_blocks(500);
  EXPECT_THAT(FormatPlanTable(plan, {.width = 200}),
              HasSubstr("; 500 KV blocks of 16 tokens in each replica (16000 tokens in all, f16)"));
}

TEST(PlanTableTest, ManyLinksAreSummedUpByTheSlowest) {
  v1::Plan plan = TwoStages();
  for (int i = 0; i < 20; ++i) {
    *plan.add_stages() = plan.stages(0);
    plan.mutable_stages()->rbegin()->set_link_seconds(0.001 * i + 0.001);
  }
  plan.mutable_stages(7)->set_link_seconds(1);
  EXPECT_THAT(FormatPlanTable(plan), HasSubstr("20, the slowest m40 -> m40 1000 ms for"));
}

TEST(PlanTableTest, WhatIsTheSameIsSaidOnce) {
  v1::Plan plan = TwoStages();
  for (int i = 0; i < 5; ++i) *plan.add_stages() = plan.stages(0);
  EXPECT_THAT(
      FormatPlanTable(plan, {.width = 200}),
      AllOf(HasSubstr("m40 -> p106, m40 -> m40, m40 -> m40, m40 -> m40 and 1 more 0.500 ms"),
            HasSubstr("  m40, m40, m40, m40 and 2 more: sets the pace\n")));
}

TEST(PlanTableTest, AThousandDevicesDoNotMakeThousandsOfLines) {
  v1::Plan plan = TwoStages();
  for (int i = 0; i < 1000; ++i) {
    *plan.add_stages() = plan.stages(0);
    plan.mutable_stages()->rbegin()->set_reason(std::to_string(i));
  }
  const std::string table = FormatPlanTable(plan, {.width = 200});
  EXPECT_LT(Count(table, '\n'), 220u);
  EXPECT_THAT(table, HasSubstr("  and 938 stages more\n"));
}

TEST(PlanTableTest, SaysOverWhatALoadedPlanHandsOnAndWhy) {
  v1::Plan plan = TwoStages();
  EXPECT_THAT(FormatPlanTable(plan), Not(HasSubstr(" over ")));
  plan.mutable_stages(0)->set_link("nccl");
  EXPECT_THAT(FormatPlanTable(plan, {.width = 120}), HasSubstr("for 128 KiB of f32 over nccl."));
  plan.mutable_stages(0)->set_link("grpc");
  plan.mutable_stages(0)->set_link_reason("m40: no NCCL");
  plan.mutable_stages(0)->set_link_seconds(0);
  EXPECT_THAT(FormatPlanTable(plan, {.width = 120}),
              HasSubstr("Links, a step: m40 -> p106 over grpc (m40: no NCCL)."));
}

TEST(PlanTableTest, ListsWhatEachFormOfWeightsWouldNeed) {
  v1::Plan plan = TwoStages();
  v1::WeightProposal* proposal = plan.add_weight_proposals();
  proposal->set_weight_type(v1::WEIGHT_TYPE_BF16);
  proposal->set_weight_form("bf16");
  proposal->set_weight_bytes(15 * kGiB);
  proposal->set_verdict("does not fit: short by 1 GiB");
  EXPECT_THAT(FormatPlanTable(plan), HasSubstr("  bf16: 15.0 GiB; does not fit: short by 1 GiB"));
}

}  // namespace
}  // namespace layercake
