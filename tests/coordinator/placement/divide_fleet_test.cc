// Divisions of fleets over several pipelines: sound, near the best, and never better than the
// bound.

#include "coordinator/placement/divide_fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/placement/divide_few.h"
#include "coordinator/placement/fastest_pipeline.h"
#include "coordinator/placement/memory.h"
#include "coordinator/placement/pipeline_estimate.h"
#include "coordinator/placement/predict.h"
#include "coordinator/placement/problem.h"
#include "coordinator/placement/step_tables.h"
#include "tests/coordinator/placement/fleets.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

PlanningProblem ProblemOf(const ModelConfig& model, const Fleet& fleet,
                          const v1::PlanOptions& options) {
  absl::StatusOr<PlanningProblem> problem = MakeProblem(model, fleet, options, "m");
  EXPECT_OK(problem);
  return *std::move(problem);
}

// Up to four devices, each on its host or two together, and a model, of which several copies may
// fit and whose layers may be unlike.
PlanningProblem SmallProblem(std::mt19937& random) {
  ModelConfig model = TinyModel(Draw(random, 3, 6));
  model.vocab_size = Draw(random, 1, 4) * 300;
  if (Draw(random, 0, 2) == 0) {
    model.experts = MixtureOfExperts{.num_experts = 4, .experts_per_token = 2, .expert_dim = 64};
    for (int64_t layer = 0; layer < model.num_layers; ++layer) {
      model.experts->in_layer.push_back(Draw(random, 0, 2) > 0);
    }
  }
  Fleet fleet;
  const int num_devices = Draw(random, 1, 4);
  for (int i = 0; i < num_devices; ++i) {
    PlannerDevice device = Gpu(absl::StrCat("d", i), Draw(random, 500, 4000) * 1024.0,
                               Draw(random, 0, 2) == 0 ? 1e9 : Draw(random, 1, 40) * 1e8);
    device.profile.set_flops_per_second(Draw(random, 1, 100) * 1e8);
    if (Draw(random, 0, 1) == 0) device.host = absl::StrCat("h", i / 2);
    fleet.devices.push_back(std::move(device));
  }
  fleet.links = RandomLinks(random, fleet.devices);
  v1::PlanOptions options;
  options.set_context_tokens(Draw(random, 1, 256));
  options.set_batch_sequences(Draw(random, 1, 8));
  options.set_step_tokens(Draw(random, 8, 64));
  return ProblemOf(model, fleet, options);
}

// Tokens/s of a pipeline with the KV blocks that it has room for; 0: it does not fit.
double RateOf(const CostModel& cost, const DeviceSelection& selection, const Pipeline& pipeline) {
  const int64_t blocks = ChooseBlocks(cost, selection.devices, pipeline);
  if (blocks < cost.context_blocks()) return 0;
  return Predict(cost, selection, pipeline, blocks).tokens_per_second;
}

// Of all divisions into pipelines of all cuts, by number of pipelines; first of any number.
std::vector<double> BestOfAll(const CostModel& cost, const DeviceSelection& selection) {
  const int num_devices = static_cast<int>(selection.devices.size());
  std::vector<double> alone(size_t{1} << num_devices, 0);  // by set of devices
  ForEachPipeline(num_devices, cost.num_layers(), [&](const std::vector<StageChoice>& stages) {
    size_t set = 0;
    for (const StageChoice& stage : stages) set |= size_t{1} << stage.device;
    alone[set] = std::max(alone[set], RateOf(cost, selection, {.stages = stages}));
  });
  std::vector<double> best = {0};
  std::vector<double> fewer(alone.size(), 0);
  for (int number = 1; number <= num_devices; ++number) {
    std::vector<double> divided(alone.size(), 0);
    for (size_t set = 1; set < alone.size(); ++set) {
      for (size_t part = set; part > 0; part = (part - 1) & set) {
        const double others = fewer[set & ~part];
        if (alone[part] == 0 || (number > 1 && others == 0)) continue;
        divided[set] = std::max(divided[set], alone[part] + others);
      }
    }
    best.push_back(divided.back());
    best[0] = std::max(best[0], best.back());
    fewer = std::move(divided);
  }
  return best;
}

void ExpectSound(const CostModel& cost, const DeviceSelection& selection,
                 const FleetDivision& division) {
  std::map<int, int> uses;
  double rate = 0;
  for (const Pipeline& pipeline : division.pipelines) {
    int next = 0;
    for (const StageChoice& stage : pipeline.stages) {
      ASSERT_EQ(++uses[stage.device], 1);
      ASSERT_EQ(stage.first, next);
      ASSERT_GE(stage.count, 1);
      next += stage.count;
    }
    ASSERT_EQ(next, cost.num_layers());
    const double own = RateOf(cost, selection, pipeline);
    ASSERT_GT(own, 0);
    rate += own;
  }
  ASSERT_NEAR(rate, division.tokens_per_second, 1e-9 * rate);
}

TEST(DivideFleetTest, NoDivisionIsBetterThanTheBoundAndTheOneFoundIsNearTheBest) {
  std::mt19937 random(41);
  int several = 0;
  double found = 0;
  double best = 0;
  double one_found = 0;
  int ones = 0;
  for (int i = 0; i < 200; ++i) {
    const PlanningProblem problem = SmallProblem(random);
    const CostModel cost = problem.cost();
    const std::vector<double> highest_of = BestOfAll(cost, problem.selection);
    const double highest = highest_of[0];
    const FleetDivision division = DivideFleet(cost, problem.selection, 0);
    ExpectSound(cost, problem.selection, division);
    ASSERT_FALSE(HasFailure()) << "case " << i;
    ASSERT_GE(division.bound, highest * (1 - 1e-6)) << "case " << i;
    ASSERT_LE(division.tokens_per_second, highest * (1 + 1e-9)) << "case " << i;
    std::vector<int> everyone(problem.selection.devices.size());
    std::iota(everyone.begin(), everyone.end(), 0);
    const auto fastest = FindFastestPipeline(cost, problem.selection, everyone);
    ASSERT_EQ(fastest.has_value(), highest_of[1] > 0) << "case " << i;
    if (fastest.has_value()) {
      ASSERT_GE(fastest->bound, highest_of[1] * (1 - 1e-6)) << "case " << i;
      ASSERT_LE(fastest->rated.tokens_per_second, highest_of[1] * (1 + 1e-9)) << "case " << i;
      one_found += fastest->rated.tokens_per_second / highest_of[1];
      ++ones;
    }
    for (size_t number = 1; number < highest_of.size(); ++number) {
      const double bound = DivideFleet(cost, problem.selection, static_cast<int>(number)).bound;
      ASSERT_GE(bound, highest_of[number] * (1 - 1e-6)) << "case " << i << ", " << number;
    }
    if (highest == 0) continue;
    found += division.tokens_per_second / highest;
    best += 1;
    several += division.pipelines.size() > 1 ? 1 : 0;
  }
  EXPECT_GT(best, 120);
  EXPECT_GT(several, 40);
  EXPECT_GT(found, 0.9 * best);
  EXPECT_GT(one_found, 0.995 * ones);
}

v1::PlanOptions Context4096() {
  v1::PlanOptions options;
  options.set_context_tokens(4096);
  return options;
}

double Sum(const FewDivision& division) {
  double sum = 0;
  for (const RatedPipeline& rated : division.pipelines) sum += rated.tokens_per_second;
  return sum;
}

// Fleets that are few enough to know the best division, and of many shapes.
Fleet MiddlingFleet(uint32_t seed) {
  std::mt19937 random(seed);
  const double copies = Draw(random, 12, 60) / 10.0;
  switch (seed % 3) {
    case 0:
      return UnlikeDevices(seed, Draw(random, 5, 10), copies);
    case 1:
      return MixedFleet(seed, Draw(random, 6, 10), Draw(random, 2, 4), copies, Llama70B());
    default:
      return HostsOfOneCard(Draw(random, 6, 24), Draw(random, 1, 3));
  }
}

TEST(DivideFleetTest, TheBoundHoldsForTheBestDivisionOfMiddlingFleets) {
  double found = 0;
  double looseness = 0;
  int divided = 0;
  for (uint32_t seed = 0; seed < 21; ++seed) {
    absl::StatusOr<PlanningProblem> problem =
        MakeProblem(Llama70B(), MiddlingFleet(seed), Context4096(), "m");
    ASSERT_OK(problem);
    const CostModel cost = problem->cost();
    const FewDivision best = *DivideFew(cost, problem->selection, 0, 0);
    if (best.pipelines.empty()) continue;
    const double highest = Sum(best);
    const FleetDivision division = DivideFleet(cost, problem->selection, 0);
    ExpectSound(cost, problem->selection, division);
    ASSERT_GE(division.bound, highest * (1 - 1e-6)) << "seed " << seed;
    ASSERT_LE(division.tokens_per_second, best.bound * (1 + 1e-9)) << "seed " << seed;
    for (int number = 2; number <= 3 && seed % 3 < 2; ++number) {
      const FewDivision best_of = *DivideFew(cost, problem->selection, number, 0);
      ASSERT_GE(DivideFleet(cost, problem->selection, number).bound, Sum(best_of) * (1 - 1e-6))
          << "seed " << seed << ", " << number;
    }
    found += division.tokens_per_second / highest;
    looseness += division.bound / highest;
    ++divided;
  }
  EXPECT_GT(divided, 15);
  EXPECT_GT(found, 0.97 * divided);
  EXPECT_LT(looseness, 1.06 * divided);
}

TEST(DivideFleetTest, AThousandDevicesComeWithinAnEighthOfTheBound) {
  const PlanningProblem problem =
      ProblemOf(Llama405B(), MixedFleet(1, 1000, 8, 40.0), Context4096());
  const CostModel cost = problem.cost();
  const FleetDivision division = DivideFleet(cost, problem.selection, 0);
  ExpectSound(cost, problem.selection, division);
  EXPECT_GT(division.pipelines.size(), 10u);
  EXPECT_LT(division.bound, 1.125 * division.tokens_per_second);
}

TEST(DivideFleetTest, WholePipelinesAreBoundedMoreClosely) {
  const PlanningProblem problem =
      ProblemOf(Llama70B(), MixedFleet(2, 24, 8, 5.0, Llama70B()), Context4096());
  const CostModel cost = problem.cost();
  const double any = DivideFleet(cost, problem.selection, 0).bound;
  double highest = 0;
  for (const int wanted : {1, 2, 3, 4}) {
    const double bound = DivideFleet(cost, problem.selection, wanted).bound;
    EXPECT_LE(bound, any * 1.01);  // solved to half a percent
    highest = std::max(highest, bound);
  }
  EXPECT_GT(highest, 0.99 * any);
  EXPECT_LT(DivideFleet(cost, problem.selection, 4).bound, 0.9 * any);
}

TEST(DivideFleetTest, AsManyPipelinesAsAreAskedFor) {
  const PlanningProblem problem =
      ProblemOf(Llama70B(), MixedFleet(2, 24, 8, 5.0, Llama70B()), Context4096());
  const CostModel cost = problem.cost();
  for (const int wanted : {1, 2, 3}) {
    const FleetDivision division = DivideFleet(cost, problem.selection, wanted);
    ExpectSound(cost, problem.selection, division);
    EXPECT_EQ(static_cast<int>(division.pipelines.size()), wanted);
  }
  EXPECT_TRUE(DivideFleet(cost, problem.selection, 20).pipelines.empty());
}

// With as much room as the estimate has.
StepTables TablesOf(const CostModel& cost, const DeviceSelection& selection,
                    PipelineEstimator& estimator, const EstimatedPipeline& pipeline) {
  const int64_t in_flight = pipeline.sequences * static_cast<int64_t>(pipeline.devices.size());
  return TablesFor(cost, selection, estimator.Order(pipeline),
                   std::max(cost.context_blocks(), in_flight * cost.sequence_blocks()),
                   pipeline.sequences, &UsableDevice::crowded_speed);
}

TEST(PipelineEstimatorTest, ComesNearTheSearchForStages) {
  std::mt19937 random(43);
  int compared = 0;
  int near = 0;
  for (const uint32_t seed : {1, 2, 3}) {
    const PlanningProblem problem =
        ProblemOf(Llama70B(), MixedFleet(seed, 100, 8, 8.0, Llama70B()), Context4096());
    const CostModel cost = problem.cost();
    const DeviceClasses classes(cost, problem.selection, DeviceClasses::Middles::kMost);
    PipelineEstimator estimator(cost, classes);
    for (int i = 0; i < 200; ++i) {
      EstimatedPipeline pipeline{.sequences = Draw(random, 1, 16)};
      const int first = Draw(random, 0, 70);
      const int count = Draw(random, 8, 30);
      for (int device = first; device < first + count; ++device) {
        if (Draw(random, 0, 5) > 0) pipeline.devices.push_back(device);
      }
      estimator.Estimate(pipeline);
      StepTables tables = TablesOf(cost, problem.selection, estimator, pipeline);
      tables.in_order = true;
      const std::optional<Pipeline> exact = MinimiseCycle(tables.space());
      if (!exact.has_value() || pipeline.tokens_per_second == 0) continue;
      const double rate = static_cast<double>(pipeline.sequences) / exact->cycle();
      ++compared;
      near += std::abs(rate - pipeline.tokens_per_second) < 0.02 * rate ? 1 : 0;
      EXPECT_GT(rate, 0.85 * pipeline.tokens_per_second) << "fleet " << seed << " case " << i;
    }
  }
  EXPECT_GT(compared, 60);
  EXPECT_GT(near, 0.85 * compared);
}

// Of more cards than layers, all slow but for the head's, one must have the head.
TEST(PipelineEstimatorTest, BothEndsHaveALayer) {
  const PlanningProblem problem =
      ProblemOf(Llama405B(), EqualHosts(17, 8, {{24e9, 300e9, 100e12}}), Context4096());
  const CostModel cost = problem.cost();
  const DeviceClasses classes(cost, problem.selection, DeviceClasses::Middles::kMost);
  PipelineEstimator estimator(cost, classes);
  EstimatedPipeline pipeline{.sequences = 4};
  for (int device = 0; device < 130; ++device) pipeline.devices.push_back(device);
  estimator.Estimate(pipeline);
  const std::optional<Pipeline> exact =
      MinimiseCycle(TablesOf(cost, problem.selection, estimator, pipeline).space());
  ASSERT_TRUE(exact.has_value());
  const double rate = static_cast<double>(pipeline.sequences) / exact->cycle();
  EXPECT_NEAR(pipeline.tokens_per_second, rate, 0.02 * rate);
}

}  // namespace
}  // namespace layercake
