#include "coordinator/placement/worker_names.h"

#include "tests/coordinator/placement/fixtures.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Fleet TwoCards() {
  Fleet fleet({Gpu("m40", 1e9), Gpu("p106", 1e9), Cpu("cpu-0", 1e9)});
  fleet.devices[0].device.set_uuid("GPU-3f2a1111-0000");
  fleet.devices[1].device.set_uuid("GPU-3f2b2222-0000");
  return fleet;
}

TEST(WorkerNamesTest, UuidsAndTheirBeginningsStandForWorkers) {
  v1::PlanOptions options;
  options.add_order("GPU-3f2b2222-0000");
  options.add_order("m40");
  options.add_exclude("gpu-3f2a");
  options.add_manual()->set_worker("GPU-3f2b");
  (*options.mutable_max_memory_bytes())["GPU-3f2a"] = 7;
  (*options.mutable_max_memory_bytes())[""] = 9;
  (*options.mutable_reserve_bytes())["GPU-3f2b"] = 5;
  LC_ASSERT_OK_AND_ASSIGN(const v1::PlanOptions named, WithWorkerNames(TwoCards(), options));
  EXPECT_THAT(named.order(), ElementsAre("p106", "m40"));
  EXPECT_THAT(named.exclude(), ElementsAre("m40"));
  EXPECT_EQ(named.manual(0).worker(), "p106");
  EXPECT_EQ(named.max_memory_bytes().at("m40"), 7u);
  EXPECT_EQ(named.max_memory_bytes().at(""), 9u);
  EXPECT_EQ(named.reserve_bytes().at("p106"), 5u);
}

TEST(WorkerNamesTest, AmbiguousBeginningsAndDoubleCapsAreRefused) {
  v1::PlanOptions options;
  options.add_exclude("GPU-3f");
  EXPECT_THAT(WithWorkerNames(TwoCards(), options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("m40, p106")));
  options.clear_exclude();
  (*options.mutable_max_memory_bytes())["GPU-3f2a"] = 7;
  (*options.mutable_max_memory_bytes())["m40"] = 8;
  EXPECT_THAT(
      WithWorkerNames(TwoCards(), options),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--max-memory names m40 twice")));
}

TEST(WorkerNamesTest, UnknownUuidsAreLeftForThePlannerToName) {
  v1::PlanOptions options;
  options.add_exclude("GPU-9");
  EXPECT_THAT(MakePlan(TinyModel(2), TwoCards(), options, "tiny"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"GPU-9\"")));
  options.set_exclude(0, "GPU-3f2a");
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(TinyModel(2), TwoCards(), options, "tiny"));
  EXPECT_EQ(plan.excluded(plan.excluded_size() - 1).worker(), "m40");
}

}  // namespace
}  // namespace layercake
