#include "coordinator/cluster/replica_plans.h"

#include <gmock/gmock.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace layercake {
namespace {

using ::testing::ElementsAre;

// Two stages of 40 KV blocks on replica 0, one of 30 on replica 1.
v1::Plan TwoReplicas() {
  v1::Plan plan;
  plan.set_num_replicas(2);
  plan.set_optimality_gap(0.01);
  plan.set_max_context_tokens(512);
  plan.set_predicted_tokens_per_second(100);
  plan.set_predicted_prompt_tokens_per_second(1000);
  plan.set_predicted_token_seconds(0.25);
  for (const int replica : {0, 1}) {
    v1::ReplicaPrediction* prediction = plan.add_predictions();
    prediction->set_replica(replica);
    prediction->set_tokens_per_second(replica == 0 ? 70 : 30);
    prediction->set_prompt_tokens_per_second(replica == 0 ? 600 : 400);
    prediction->set_token_seconds(replica == 0 ? 0.2 : 0.25);
  }
  for (const int replica : {0, 0, 1}) {
    v1::StagePlan* stage = plan.add_stages();
    stage->set_replica(replica);
    stage->set_num_blocks(replica == 0 ? 40 : 30);
    stage->set_worker(absl::StrCat("w", plan.stages_size()));
  }
  return plan;
}

TEST(ReplicaPlansTest, SplittingKeepsEachReplicasStages) {
  const std::vector<v1::Plan> plans = SplitReplicas(TwoReplicas());
  ASSERT_EQ(plans.size(), 2u);
  EXPECT_EQ(plans[0].stages_size(), 2);
  ASSERT_EQ(plans[1].stages_size(), 1);
  EXPECT_EQ(plans[1].stages(0).worker(), "w3");
  EXPECT_EQ(plans[0].stages(1).num_blocks(), 40);
  EXPECT_EQ(plans[1].stages(0).num_blocks(), 30);
  EXPECT_EQ(plans[0].predicted_tokens_per_second(), 70);
  EXPECT_EQ(plans[1].predicted_tokens_per_second(), 30);
  EXPECT_EQ(plans[1].predicted_prompt_tokens_per_second(), 400);
  EXPECT_EQ(plans[0].predicted_token_seconds(), 0.2);
}

TEST(ReplicaPlansTest, JoiningUndoesSplitting) {
  std::vector<v1::Plan> plans = SplitReplicas(TwoReplicas());
  EXPECT_EQ(JoinReplicas(plans).SerializeAsString(), TwoReplicas().SerializeAsString());
  std::swap(plans[0], plans[1]);
  EXPECT_EQ(JoinReplicas(plans).SerializeAsString(), TwoReplicas().SerializeAsString());
}

TEST(ReplicaPlansTest, NothingIsProvenOfReplicasThatWereNotPlannedTogether) {
  std::vector<v1::Plan> plans = SplitReplicas(TwoReplicas());
  v1::Plan another = plans[1];
  another.set_num_replicas(1);
  EXPECT_FALSE(JoinReplicas({plans[0]}).has_optimality_gap());
  EXPECT_EQ(JoinReplicas({plans[0]}).num_replicas(), 1);
  EXPECT_FALSE(JoinReplicas({plans[0], another}).has_optimality_gap());
}

TEST(ReplicaPlansTest, JoiningPromisesTheShortestContext) {
  std::vector<v1::Plan> plans = SplitReplicas(TwoReplicas());
  plans[1].set_max_context_tokens(256);
  EXPECT_EQ(JoinReplicas(plans).max_context_tokens(), 256);
}

TEST(ReplicaPlansTest, WishesForAbsentWorkersAreDropped) {
  v1::PlanOptions options;
  for (const char* name : {"a", "b", "c"}) options.add_order(name);
  for (const double share : {3., 2., 1.}) options.add_split(share);
  options.add_exclude("b");
  options.add_exclude("d");
  for (const char* name : {"a", "b"}) options.add_manual()->set_worker(name);
  for (const char* name : {"", "a", "b"}) (*options.mutable_max_memory_bytes())[name] = 1;
  for (const char* name : {"", "a", "b"}) (*options.mutable_reserve_bytes())[name] = 1;
  const v1::PlanOptions here = OptionsForWorkers(options, {"b", "c"});
  EXPECT_THAT(here.order(), ElementsAre("b", "c"));
  EXPECT_THAT(here.exclude(), ElementsAre("b"));
  EXPECT_EQ(here.split_size(), 0);
  ASSERT_EQ(here.manual_size(), 1);
  EXPECT_EQ(here.manual(0).worker(), "b");
  EXPECT_EQ(here.max_memory_bytes_size(), 2);
  EXPECT_FALSE(here.max_memory_bytes().contains("a"));
  EXPECT_EQ(here.reserve_bytes_size(), 2);
  EXPECT_FALSE(here.reserve_bytes().contains("a"));
  EXPECT_EQ(OptionsForWorkers(options, {"a", "b", "c", "d"}).SerializeAsString().size(),
            options.SerializeAsString().size());
}

TEST(ReplicaPlansTest, OneMorePromisesWhatTheOthersDid) {
  v1::Plan in_force = TwoReplicas();
  in_force.set_kv_type(v1::KV_TYPE_F16);
  in_force.set_weight_type(v1::WEIGHT_TYPE_INT8);
  v1::PlanOptions options;
  options.set_replicas(2);
  options.set_weight_type(v1::WEIGHT_TYPE_AUTO);
  const v1::PlanOptions more = OptionsForOneMore(options, in_force);
  EXPECT_EQ(more.replicas(), 1);
  EXPECT_EQ(more.context_tokens(), 512);
  EXPECT_EQ(more.kv_type(), v1::KV_TYPE_F16);
  EXPECT_EQ(more.weight_type(), v1::WEIGHT_TYPE_INT8);
}

}  // namespace
}  // namespace layercake
