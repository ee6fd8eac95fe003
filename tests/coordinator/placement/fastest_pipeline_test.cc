// One pipeline of many devices against the exact search, and against what other searches find.

#include "coordinator/placement/fastest_pipeline.h"

#include <gtest/gtest.h>

#include <numeric>

#include "coordinator/placement/divide_few.h"
#include "coordinator/placement/divide_fleet.h"
#include "coordinator/placement/planner.h"
#include "coordinator/placement/problem.h"
#include "coordinator/placement/rooms.h"
#include "tests/coordinator/placement/fleets.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

v1::PlanOptions Options(int replicas) {
  v1::PlanOptions options;
  options.set_context_tokens(4096);
  options.set_replicas(replicas);
  return options;
}

// From hardly one copy of the model to several: with fewer sequences in flight than stages, and
// with as many as a step may have in each.
double Copies(uint32_t seed) { return 1.6 + 0.9 * (seed % 5); }

std::vector<int> Everyone(const DeviceSelection& selection) {
  std::vector<int> devices(selection.devices.size());
  std::iota(devices.begin(), devices.end(), 0);
  return devices;
}

// The exact search knows the best of fleets of few kinds, and of few devices in order.
TEST(FastestPipelineTest, ComesNearTheBestAndIsBoundedByNoLess) {
  double found = 0;
  double bounds = 0;
  int planned = 0;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const Fleet fleet =
        MixedFleet(seed, 6 + static_cast<int>(seed % 4), 3, Copies(seed), Llama70B());
    LC_ASSERT_OK_AND_ASSIGN(PlanningProblem problem,
                            MakeProblem(Llama70B(), fleet, Options(1), "m"));
    problem.selection.in_order = seed % 4 == 3;
    const CostModel cost = problem.cost();
    const FewDivision best = *DivideFew(cost, problem.selection, 1, 0);
    const std::optional<FastestPipeline> fastest =
        FindFastestPipeline(cost, problem.selection, Everyone(problem.selection));
    ASSERT_EQ(fastest.has_value(), !best.pipelines.empty()) << "seed " << seed;
    if (best.pipelines.empty()) continue;
    const double highest = best.pipelines[0].tokens_per_second;
    ASSERT_GE(fastest->bound, highest * (1 - 1e-6)) << "seed " << seed;
    ASSERT_LE(fastest->rated.tokens_per_second, highest * (1 + 1e-6)) << "seed " << seed;
    found += fastest->rated.tokens_per_second / highest;
    bounds += fastest->bound / highest;
    ++planned;
  }
  EXPECT_GT(planned, 13);
  EXPECT_GT(found, 0.995 * planned);
  EXPECT_LT(bounds, 1.005 * planned);
}

// Each room is promised once, no less than the exact search finds with that room.
TEST(FastestPipelineTest, RoomsComeByWhatTheyPromise) {
  const Fleet fleet = MixedFleet(1, 8, 3, 2.5, Llama70B());
  LC_ASSERT_OK_AND_ASSIGN(const PlanningProblem problem,
                          MakeProblem(Llama70B(), fleet, Options(1), "m"));
  const CostModel cost = problem.cost();
  const std::vector<int> devices = Everyone(problem.selection);
  StepTableCache tables(cost, problem.selection, &UsableDevice::crowded_speed);
  RoomSearch rooms(tables, devices);
  constexpr double kLittle = 1;
  std::vector<KvRoom> seen;
  double before = kDoesNotFit;
  while (const auto next = rooms.Next(kLittle)) {
    EXPECT_LE(next->tokens_per_second, before);
    before = next->tokens_per_second;
    EXPECT_EQ(std::ranges::find(seen, next->room), seen.end());
    seen.push_back(next->room);
    EXPECT_FALSE(rooms.MayGenerate(next->room, next->tokens_per_second * 1.001));
    const auto found = MinimiseCycle(tables.For(devices, next->room));
    if (!found.has_value()) continue;
    if (static_cast<int64_t>(found->stages.size()) != next->room.steps) continue;
    EXPECT_GE(next->tokens_per_second,
              static_cast<double>(next->room.sequences) / found->cycle() * (1 - 1e-9));
  }
  EXPECT_GT(seen.size(), 20u);
}

TEST(FastestPipelineTest, PlansComeNearTheirBounds) {
  double gaps = 0;
  int planned = 0;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const int devices = 20 + 4 * static_cast<int>(seed);
    const Fleet fleet = MixedFleet(seed, devices, 4, Copies(seed), Llama70B());
    const absl::StatusOr<v1::Plan> plan = MakePlan(Llama70B(), fleet, Options(1), "m");
    if (!plan.ok()) continue;  // many small devices hold no layer
    EXPECT_LT(plan->optimality_gap(), 0.05) << "seed " << seed;
    gaps += plan->optimality_gap();
    ++planned;
  }
  EXPECT_GT(planned, 14);
  EXPECT_LT(gaps, 0.01 * planned);
}

// What is found by dividing the fleet must not be better than a plan says that it could be.
TEST(FastestPipelineTest, NoDivisionRefutesTheGapOfAPlan) {
  for (uint32_t seed = 101; seed <= 103; ++seed) {
    const Fleet fleet = MixedFleet(seed, 50, 8, 50 / 12.0, Llama70B());
    for (const int replicas : {0, 1}) {
      LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan,
                              MakePlan(Llama70B(), fleet, Options(replicas), "m"));
      LC_ASSERT_OK_AND_ASSIGN(const PlanningProblem problem,
                              MakeProblem(Llama70B(), fleet, Options(replicas), "m"));
      const FleetDivision division = DivideFleet(problem.cost(), problem.selection, replicas);
      EXPECT_GE(plan.predicted_tokens_per_second() * (1 + plan.optimality_gap()),
                division.tokens_per_second * (1 - 1e-9))
          << "fleet " << seed << ", " << replicas;
      if (division.pipelines.size() == 1) {
        EXPECT_GE(plan.predicted_tokens_per_second(), 0.999 * division.tokens_per_second)
            << "fleet " << seed << ", " << replicas;
      }
    }
  }
}

}  // namespace
}  // namespace layercake
