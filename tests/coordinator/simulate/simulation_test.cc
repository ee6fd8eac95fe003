#include "coordinator/simulate/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace layercake {
namespace {

SchedulerOptions Options(int num_stages) {
  SchedulerOptions options;
  options.num_stages = num_stages;
  options.num_blocks = 20000;
  options.max_context_tokens = 10000;
  options.max_waiting = 100000;
  return options;
}

// Stages that take so long for any step, links that take `hop`.
SimulatedPipeline Pipeline(const std::vector<double>& stage_seconds, double hop = 0) {
  SimulatedPipeline pipeline;
  pipeline.scheduler = Options(static_cast<int>(stage_seconds.size()));
  for (size_t i = 0; i < stage_seconds.size(); ++i) {
    pipeline.stages.push_back(
        {.worker = std::string(1, static_cast<char>('a' + i)),
         .step_seconds = [seconds = stage_seconds[i]](std::span<const StepSlice>, double) {
           return seconds;
         }});
  }
  pipeline.hops.assign(stage_seconds.size() + 1, {.latency_seconds = hop});
  return pipeline;
}

LoadOptions Closed(int requests, int concurrency, int prompt_tokens, int output_tokens) {
  return {.requests = requests,
          .concurrency = concurrency,
          .prompt_tokens = {prompt_tokens, prompt_tokens},
          .output_tokens = {output_tokens, output_tokens}};
}

TEST(SimulationTest, ATokenTakesEveryStageAndHopInTurn) {
  SimulatedPipeline pipeline = Pipeline({2, 3}, /*hop=*/0.5);
  pipeline.client_latency_seconds = 0.25;
  const auto result = Simulate({&pipeline, 1}, Closed(1, 1, 1, 4));
  const double token = 2 + 3 + 3 * 0.5;
  EXPECT_DOUBLE_EQ(result.first_token_ms.p50, 1e3 * (token + 0.5));
  EXPECT_DOUBLE_EQ(result.between_tokens_ms.p99, 1e3 * token);
  EXPECT_DOUBLE_EQ(result.wall_seconds, 4 * token + 0.5);
  EXPECT_EQ(result.output_tokens, 4);
  ASSERT_EQ(result.stages.size(), 2u);
  EXPECT_DOUBLE_EQ(result.stages[0].busy_share, 4 * 2 / result.wall_seconds);
  EXPECT_DOUBLE_EQ(result.stages[1].busy_share, 4 * 3 / result.wall_seconds);
  EXPECT_EQ(result.stages[1].worker, "b");
}

TEST(SimulationTest, ManySequencesKeepTheSlowestStageBusy) {
  const SimulatedPipeline pipeline = Pipeline({1, 2});
  const auto result = Simulate({&pipeline, 1}, Closed(64, 32, 1, 400));
  EXPECT_GT(result.stages[1].busy_share, 0.97);
  EXPECT_NEAR(result.stages[0].busy_share, 0.5, 0.02);
  // Two groups of 16, a step of one of them every 2 s.
  EXPECT_NEAR(result.output_tokens_per_second, 8, 0.2);
}

TEST(SimulationTest, LinksCarryOneMessageAtATimeButLatencyOverlaps) {
  SimulatedPipeline pipeline = Pipeline({0.001, 0.001});
  pipeline.hops[1] = {.latency_seconds = 0.1, .seconds_per_token = 1};
  const auto result = Simulate({&pipeline, 1}, Closed(1, 1, 600, 1));
  // Three pieces of the prompt by three steps in flight: 600 tokens pass one after another.
  EXPECT_NEAR(result.first_token_ms.p50, 600e3, 500);
}

TEST(SimulationTest, AStepCostsByWhatItsSlicesAre) {
  SimulatedPipeline pipeline = Pipeline({1});
  std::vector<StepSlice> seen;
  pipeline.stages[0].step_seconds = [&seen](std::span<const StepSlice> slices, double) {
    seen.insert(seen.end(), slices.begin(), slices.end());
    return 1.0;
  };
  Simulate({&pipeline, 1}, Closed(1, 1, 300, 2));
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].num_tokens, 256);
  EXPECT_FALSE(seen[0].sampled);
  EXPECT_EQ(seen[1].position, 256);
  EXPECT_EQ(seen[1].num_tokens, 44);
  EXPECT_TRUE(seen[1].sampled);
  EXPECT_EQ(seen[2].position, 300);
  EXPECT_EQ(seen[2].num_tokens, 1);
}

// Stages of one host, each twice as slow while the other computes.
SimulatedPipeline OfOneHost(double first_seconds, double second_seconds) {
  SimulatedPipeline pipeline = Pipeline({first_seconds, second_seconds});
  for (SimulatedStage& stage : pipeline.stages) {
    stage.host = "here";
    stage.step_seconds = [alone = stage.step_seconds](std::span<const StepSlice> slices,
                                                      double crowd) {
      return alone(slices, crowd) * (1 + crowd);
    };
  }
  return pipeline;
}

TEST(SimulationTest, StagesOfOneHostSlowEachOtherWhileTheyCompute) {
  const SimulatedPipeline pipeline = OfOneHost(1, 1);
  const auto busy = Simulate({&pipeline, 1}, Closed(64, 32, 1, 400));
  // Both always at work: a step of 16 sequences every 2 s.
  EXPECT_NEAR(busy.output_tokens_per_second, 8, 0.3);
  // One sequence alone is never in two stages at once.
  const auto alone = Simulate({&pipeline, 1}, Closed(1, 1, 1, 4));
  EXPECT_DOUBLE_EQ(alone.between_tokens_ms.p50, 2e3);
}

TEST(SimulationTest, AStageIsCrowdedForAsLongAsTheOtherComputes) {
  // The second always computes and waits for nobody: at three quarters of its time the first does.
  const SimulatedPipeline pipeline = OfOneHost(1, 2);
  const auto result = Simulate({&pipeline, 1}, Closed(64, 32, 1, 400));
  ASSERT_EQ(result.stages.size(), 2u);
  const double first = result.stages[0].mean_step_seconds;
  const double second = result.stages[1].mean_step_seconds;
  EXPECT_NEAR(first, 2, 0.1);  // the second is at work all the time
  EXPECT_NEAR(second, 2 * (1 + first / second), 0.15);
}

TEST(SimulationTest, AQuotaIsUsedUpInBurstsAndNotSaved) {
  // A quarter of every 8 s. A step that takes 4 s by that is 1 s of computing, at once.
  SimulatedPipeline pipeline = Pipeline({4, 5});
  pipeline.stages[0].quota = {.share = 0.25, .period_seconds = 8};
  const auto alone = Simulate({&pipeline, 1}, Closed(1, 1, 1, 2));
  EXPECT_DOUBLE_EQ(alone.wall_seconds, 2 * (1 + 5));
  // The first step takes all of the first 8 s; the second, at 2 + 5, waits for the next.
  pipeline = Pipeline({8, 5});
  pipeline.stages[0].quota = {.share = 0.25, .period_seconds = 8};
  EXPECT_DOUBLE_EQ(Simulate({&pipeline, 1}, Closed(1, 1, 1, 2)).wall_seconds, 8 + 2 + 5);
  // Always at work, it gets its share: what the others wait for.
  pipeline = Pipeline({8, 1});
  pipeline.stages[0].quota = {.share = 0.25, .period_seconds = 3};
  const auto busy = Simulate({&pipeline, 1}, Closed(64, 32, 1, 400));
  EXPECT_NEAR(busy.output_tokens_per_second, 16.0 / 8, 0.05);
  EXPECT_NEAR(busy.stages[0].mean_step_seconds, 8, 0.1);
}

TEST(SimulationTest, AStageThatWaitsForItsQuotaCrowdsNobody) {
  SimulatedPipeline pipeline = OfOneHost(1, 1);
  pipeline.stages[0].quota = {.share = 0.25, .period_seconds = 0.5};
  const auto result = Simulate({&pipeline, 1}, Closed(64, 32, 1, 400));
  const double share = 0.25;  // of the time the first computes
  EXPECT_NEAR(result.stages[1].mean_step_seconds, 1 + share, 0.1);
}

// One request a step on one stage is the queue M/D/1, whose waits Lindley's recursion gives
// exactly: Lindley 1952, doi:10.1017/S0305004100027638.
TEST(SimulationTest, OneServerWithFixedTimesIsLindleysQueue) {
  SimulatedPipeline pipeline = Pipeline({1});
  pipeline.scheduler.max_batch_sequences = 1;
  const LoadOptions load = {.requests = 5000, .arrivals_per_second = 0.8, .seed = 3};
  LoadOptions one_token = load;
  one_token.prompt_tokens = one_token.output_tokens = {1, 1};
  const auto result = Simulate({&pipeline, 1}, one_token);
  std::vector<double> waits;
  double wait = 0, last = 0;
  for (const LoadRequest& request : DrawLoad(one_token)) {
    if (!waits.empty()) wait = std::max(0.0, wait + 1 - (request.arrives_seconds - last));
    last = request.arrives_seconds;
    waits.push_back(1e3 * (wait + 1));
  }
  const Percentiles expected = PercentilesOf(waits);
  EXPECT_NEAR(result.first_token_ms.p50, expected.p50, 1e-6);
  EXPECT_NEAR(result.first_token_ms.p99, expected.p99, 1e-6);
  EXPECT_NEAR(result.stages[0].busy_share, 0.8, 0.03);
}

TEST(SimulationTest, AFullQueueRefusesAndCounts) {
  SimulatedPipeline pipeline = Pipeline({1});
  pipeline.scheduler.max_waiting = 2;
  pipeline.scheduler.max_batch_sequences = 1;
  LoadOptions load = Closed(100, 1, 1, 10);
  load.arrivals_per_second = 50;
  const auto result = Simulate({&pipeline, 1}, load);
  EXPECT_EQ(result.requests + result.refused, 100);
  EXPECT_GT(result.refused, 50);
  EXPECT_EQ(result.output_tokens, 10 * result.requests);
}

TEST(SimulationTest, KvUseIsThatOfTheSequencesThatRun) {
  SimulatedPipeline pipeline = Pipeline({1});
  pipeline.scheduler.num_blocks = 100;
  // 160 tokens are ten blocks while they run, and reusable after.
  const auto result = Simulate({&pipeline, 1}, Closed(5, 1, 160, 1));
  EXPECT_DOUBLE_EQ(result.peak_kv_share, 0.1);
  EXPECT_NEAR(result.mean_kv_share, 0.1, 1e-9);
  EXPECT_EQ(result.preemptions, 0);
}

TEST(SimulationTest, ReplicasShareTheLoad) {
  const std::vector<SimulatedPipeline> two = {Pipeline({1}), Pipeline({1})};
  const LoadOptions load = Closed(64, 32, 1, 50);
  const auto both = Simulate(two, load);
  const auto one = Simulate({two.data(), 1}, load);
  ASSERT_EQ(both.stages.size(), 2u);
  EXPECT_EQ(both.stages[1].replica, 1);
  EXPECT_NEAR(both.stages[0].busy_share, both.stages[1].busy_share, 0.05);
  EXPECT_GT(both.output_tokens_per_second, 1.8 * one.output_tokens_per_second);
}

TEST(SimulationTest, ASlowReplicaGetsLessOfTheLoad) {
  std::vector<SimulatedPipeline> two = {Pipeline({1}), Pipeline({4})};
  const LoadOptions load = Closed(200, 20, 100, 20);
  const auto unknown = Simulate(two, load);
  two[0].step_seconds = 1;
  two[1].step_seconds = 4;
  const auto weighed = Simulate(two, load);
  EXPECT_LT(weighed.wall_seconds, 0.8 * unknown.wall_seconds);
}

TEST(SimulationTest, AReplicaOfFewBlocksGetsWhatItHasRoomFor) {
  std::vector<SimulatedPipeline> two = {Pipeline({1}), Pipeline({1})};
  two[0].scheduler.num_blocks = 20;
  // Eight blocks each: two run there, the others elsewhere and at once.
  const auto result = Simulate(two, Closed(180, 18, 100, 20));
  EXPECT_GT(result.stages[0].busy_share, 0.9);
  EXPECT_GT(result.stages[1].busy_share, 0.9);
  EXPECT_LT(result.first_token_ms.p99, 20e3);
}

}  // namespace
}  // namespace layercake
