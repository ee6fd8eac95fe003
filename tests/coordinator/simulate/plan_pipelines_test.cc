#include "coordinator/simulate/plan_pipelines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/coordinator/placement/fixtures.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

v1::StagePlan Stage(const std::string& worker, int first, int count, int replica = 0,
                    int num_blocks = 64) {
  v1::StagePlan stage;
  stage.set_worker(worker);
  stage.set_first_layer(first);
  stage.set_num_layers(count);
  stage.set_replica(replica);
  stage.set_num_blocks(num_blocks);
  return stage;
}

v1::Plan PlanOf(const std::vector<v1::StagePlan>& stages) {
  v1::Plan plan;
  for (const v1::StagePlan& stage : stages) *plan.add_stages() = stage;
  plan.set_block_size_tokens(16);
  plan.set_max_context_tokens(256);
  plan.set_max_batch_sequences(4);
  plan.set_max_step_tokens(32);
  plan.set_kv_type(v1::KV_TYPE_F32);
  return plan;
}

class PlanPipelinesTest : public ::testing::Test {
 protected:
  PlanPipelinesTest() : fleet_({Cpu("a", 1e9, 1e9), Cpu("b", 1e9, 2e9), Cpu("c", 1e9, 3e9)}) {
    v1::Link link;
    link.set_from("a");
    link.set_to("b");
    link.set_latency_seconds(0.002);
    link.set_bandwidth_bytes_per_second(64e3);
    fleet_.links.push_back(link);
  }

  const ModelConfig model_ = TinyModel(6);
  Fleet fleet_;
};

TEST_F(PlanPipelinesTest, StagesTakeWhatTheCostModelSaysAndLinksWhatWasMeasured) {
  LC_ASSERT_OK_AND_ASSIGN(
      const auto pipelines,
      PipelinesOf(PlanOf({Stage("a", 0, 4), Stage("b", 4, 2)}), model_, fleet_, 9));
  ASSERT_EQ(pipelines.size(), 1u);
  const SimulatedPipeline& pipeline = pipelines[0];
  EXPECT_EQ(pipeline.scheduler.num_stages, 2);
  EXPECT_EQ(pipeline.scheduler.num_blocks, 64);
  EXPECT_EQ(pipeline.scheduler.max_step_tokens, 32);
  EXPECT_EQ(pipeline.scheduler.max_waiting, 9);
  ASSERT_EQ(pipeline.hops.size(), 3u);
  EXPECT_DOUBLE_EQ(pipeline.hops[1].latency_seconds, 0.002);
  // A hidden state of 64 f32.
  EXPECT_DOUBLE_EQ(pipeline.hops[1].seconds_per_token, 64 * 4 / 64e3);
  const CostModel cost(model_, {.max_step_tokens = 32,
                                .max_batch_sequences = 4,
                                .max_context_tokens = 256,
                                .block_size_tokens = 16,
                                .kv_dtype = DType::kF32});
  const StepSlice slice = {.position = 40};
  const DeviceSpeed b = SpeedOf(fleet_.devices[1].device, fleet_.devices[1].profile);
  EXPECT_EQ(pipeline.stages[1].worker, "b");
  EXPECT_DOUBLE_EQ(pipeline.stages[1].step_seconds({&slice, 1}, /*crowd=*/0),
                   cost.StepSeconds(b, 4, 2, {&slice, 1}));
}

TEST_F(PlanPipelinesTest, AQuotaIsDividedOverTheThreadsItHoldsBack) {
  for (PlannerDevice& device : fleet_.devices) {
    device.device.set_threads(2);
    device.device.set_cpu_quota_period_seconds(0.02);
  }
  fleet_.devices[0].device.set_cpu_quota(0.5);
  fleet_.devices[1].device.set_cpu_quota(2);
  LC_ASSERT_OK_AND_ASSIGN(
      const auto pipelines,
      PipelinesOf(PlanOf({Stage("a", 0, 2), Stage("b", 2, 2), Stage("c", 4, 2)}), model_, fleet_,
                  9));
  const std::vector<SimulatedStage>& stages = pipelines[0].stages;
  EXPECT_EQ(stages[0].quota.share, 0.25);
  EXPECT_EQ(stages[0].quota.period_seconds, 0.02);
  EXPECT_EQ(stages[1].quota.period_seconds, 0);  // as many as it has threads
  EXPECT_EQ(stages[2].quota.period_seconds, 0);
}

TEST_F(PlanPipelinesTest, ReplicasArePipelinesOfTheirOwn) {
  LC_ASSERT_OK_AND_ASSIGN(
      const auto pipelines,
      PipelinesOf(PlanOf({Stage("a", 0, 4), Stage("b", 4, 2), Stage("c", 0, 6, 1, 96)}), model_,
                  fleet_, 9));
  ASSERT_EQ(pipelines.size(), 2u);
  EXPECT_EQ(pipelines[0].stages.size(), 2u);
  ASSERT_EQ(pipelines[1].stages.size(), 1u);
  EXPECT_EQ(pipelines[1].hops.size(), 2u);
  EXPECT_EQ(pipelines[1].stages[0].worker, "c");
  EXPECT_EQ(pipelines[0].scheduler.num_stages, 2);
  EXPECT_EQ(pipelines[0].scheduler.num_blocks, 64);
  EXPECT_EQ(pipelines[1].scheduler.num_stages, 1);
  EXPECT_EQ(pipelines[1].scheduler.num_blocks, 96);
}

TEST_F(PlanPipelinesTest, AReplicasStepIsThatOfItsSlowestStageOrLink) {
  v1::Plan plan = PlanOf({Stage("a", 0, 4), Stage("b", 4, 2), Stage("c", 0, 6, 1)});
  plan.mutable_stages(0)->set_decode_seconds(0.2);
  plan.mutable_stages(0)->set_link_seconds(0.3);
  plan.mutable_stages(1)->set_decode_seconds(0.1);
  plan.mutable_stages(2)->set_decode_seconds(0.4);
  LC_ASSERT_OK_AND_ASSIGN(const auto pipelines, PipelinesOf(plan, model_, fleet_, 9));
  EXPECT_EQ(pipelines[0].step_seconds, 0.3);
  EXPECT_EQ(pipelines[1].step_seconds, 0.4);
}

TEST_F(PlanPipelinesTest, StagesOfAReplicaMustHaveTheSameBlocks) {
  EXPECT_THAT(PipelinesOf(PlanOf({Stage("a", 0, 4), Stage("b", 4, 2, 0, 63)}), model_, fleet_, 9),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("worker b 63 KV blocks")));
  EXPECT_THAT(PipelinesOf(PlanOf({Stage("a", 0, 6, 0, 0)}), model_, fleet_, 9),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("worker a 0 KV blocks")));
}

TEST_F(PlanPipelinesTest, PlansOfOtherModelsAndWorkersAreRefused) {
  EXPECT_THAT(PipelinesOf(PlanOf({Stage("a", 0, 4)}), model_, fleet_, 9),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("6 layers")));
  EXPECT_THAT(PipelinesOf(PlanOf({Stage("a", 0, 4), Stage("c", 0, 6, 1)}), model_, fleet_, 9),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("end at layer 4")));
  EXPECT_THAT(PipelinesOf(PlanOf({Stage("z", 0, 6)}), model_, fleet_, 9),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("worker z")));
  EXPECT_THAT(PipelinesOf(v1::Plan(), model_, fleet_, 9),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace layercake
