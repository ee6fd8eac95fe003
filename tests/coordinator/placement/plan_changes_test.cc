#include "coordinator/placement/plan_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace layercake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kCommand[] = "layercake load --replace";

v1::Plan PlanOf(const std::vector<std::pair<std::string, int>>& stages, double tokens_per_second) {
  v1::Plan plan;
  int first = 0;
  for (const auto& [worker, layers] : stages) {
    v1::StagePlan* stage = plan.add_stages();
    stage->set_worker(worker);
    stage->set_first_layer(first);
    stage->set_num_layers(layers);
    stage->set_num_blocks(100);
    first += layers;
  }
  plan.set_num_replicas(1);
  plan.set_max_context_tokens(2048);
  plan.set_predicted_tokens_per_second(tokens_per_second);
  plan.set_predicted_token_seconds(0.1);
  return plan;
}

TEST(PlanChangesTest, TheSamePlanChangesNothing) {
  const v1::Plan plan = PlanOf({{"a", 8}, {"b", 4}}, 10);
  const v1::PlanChanges changes = ComparePlans(plan, plan, kCommand);
  EXPECT_FALSE(AnyChange(changes));
  EXPECT_EQ(FormatPlanChanges(changes, 120),
            "It is the plan in force: predicted 10.0 tokens/s with all stages busy, 100 ms a token "
            "for one sequence alone.\n");
}

TEST(PlanChangesTest, TellsWhoGainsLosesJoinsAndLeaves) {
  const v1::PlanChanges changes =
      ComparePlans(PlanOf({{"a", 8}, {"b", 3}, {"c", 1}}, 10),
                   PlanOf({{"a", 6}, {"b", 3}, {"d", 3}}, 12), kCommand);
  EXPECT_THAT(changes.moves(),
              ElementsAre("a: layers 0-7 -> layers 0-5", "b: layers 8-10 -> layers 6-8",
                          "d: joins with layers 9-11", "c: gives up layer 11"));
  EXPECT_THAT(changes.room(), IsEmpty());
  EXPECT_THAT(changes.gain(), HasSubstr("10.0 -> 12.0 tokens/s"));
  EXPECT_THAT(changes.gain(), HasSubstr("+20.0%"));
}

TEST(PlanChangesTest, RoomAloneIsAChangeToo) {
  v1::Plan more = PlanOf({{"a", 12}}, 10);
  more.mutable_stages(0)->set_num_blocks(250);
  more.set_max_context_tokens(4000);
  const v1::PlanChanges changes = ComparePlans(PlanOf({{"a", 12}}, 10), more, kCommand);
  EXPECT_THAT(changes.moves(), IsEmpty());
  EXPECT_THAT(changes.room(), ElementsAre("context 2048 -> 4000", "KV blocks 100 -> 250"));
  const std::string text = FormatPlanChanges(changes, 100);
  EXPECT_THAT(text, HasSubstr("every layer stays"));
  EXPECT_THAT(text, HasSubstr("layercake load --replace"));
}

TEST(PlanChangesTest, ReplicasAreNamedWhereThereAreSeveral) {
  v1::Plan two = PlanOf({{"a", 12}}, 20);
  two.set_num_replicas(2);
  v1::StagePlan* stage = two.add_stages();
  stage->set_worker("b");
  stage->set_num_layers(12);
  stage->set_replica(1);
  stage->set_num_blocks(70);
  const v1::PlanChanges changes = ComparePlans(PlanOf({{"a", 12}}, 10), two, kCommand);
  EXPECT_THAT(changes.moves(), ElementsAre("b: joins with layers 0-11 of replica 1"));
  EXPECT_THAT(changes.room(), ElementsAre("KV blocks 100 -> 170", "replicas 1 -> 2"));
}

}  // namespace
}  // namespace layercake
