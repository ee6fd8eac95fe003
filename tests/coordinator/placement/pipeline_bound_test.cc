// One pipeline of many devices against its bound for any KV room, and against what other searches
// find.

#include "coordinator/placement/pipeline_bound.h"

#include <gtest/gtest.h>

#include "coordinator/placement/divide_few.h"
#include "coordinator/placement/divide_fleet.h"
#include "coordinator/placement/planner.h"
#include "coordinator/placement/problem.h"
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

// The exact search knows the best of fleets of few kinds.
TEST(PipelineBoundTest, HoldsForTheBestPipeline) {
  double looseness = 0;
  int planned = 0;
  for (uint32_t seed = 0; seed < 15; ++seed) {
    const Fleet fleet =
        MixedFleet(seed, 6 + static_cast<int>(seed % 4), 3, Copies(seed), Llama70B());
    LC_ASSERT_OK_AND_ASSIGN(const PlanningProblem problem,
                            MakeProblem(Llama70B(), fleet, Options(1), "m"));
    const CostModel cost = problem.cost();
    const FewDivision best = *DivideFew(cost, problem.selection, 1, 0);
    if (best.pipelines.empty()) continue;
    const double bound = BoundPipeline(cost, problem.selection).tokens_per_second;
    const double highest = best.pipelines[0].tokens_per_second;
    ASSERT_GE(bound, highest * (1 - 1e-6)) << "seed " << seed;
    looseness += bound / highest;
    ++planned;
  }
  EXPECT_GT(planned, 10);
  EXPECT_LT(looseness, 1.1 * planned);
}

TEST(PipelineBoundTest, TheRoomsAreThoseOfPipelinesNearTheBound) {
  double gaps = 0;
  int planned = 0;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const int devices = 20 + 4 * static_cast<int>(seed);
    const Fleet fleet = MixedFleet(seed, devices, 4, Copies(seed), Llama70B());
    const absl::StatusOr<v1::Plan> plan = MakePlan(Llama70B(), fleet, Options(1), "m");
    if (!plan.ok()) continue;  // many small devices hold no layer
    LC_ASSERT_OK_AND_ASSIGN(const PlanningProblem problem,
                            MakeProblem(Llama70B(), fleet, Options(1), "m"));
    const PipelineBound bound = BoundPipeline(problem.cost(), problem.selection);
    EXPECT_FALSE(bound.rooms.empty());
    EXPECT_LE(plan->predicted_tokens_per_second(), bound.tokens_per_second * (1 + 1e-6));
    gaps += plan->optimality_gap();
    ++planned;
  }
  EXPECT_GT(planned, 14);
  EXPECT_LT(gaps, 0.02 * planned);
}

// What is found by dividing the fleet must not be better than a plan says that it could be.
TEST(PipelineBoundTest, NoDivisionRefutesTheGapOfAPlan) {
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
