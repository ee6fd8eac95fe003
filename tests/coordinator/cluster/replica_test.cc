#include "coordinator/cluster/replica.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Minutes(2);

// Has done what the test says.
class ScriptedPipeline final : public Pipeline {
 public:
  explicit ScriptedPipeline(const std::vector<StageStats>& stats) : stats_(stats) {}
  void Submit(const v1::Step&) override {}
  std::vector<StageStats> stats() const override { return stats_; }

 private:
  const std::vector<StageStats>& stats_;
};

// Workers a, b and c, a minute passing between two looks.
class ReplicaTest : public ::testing::Test {
 protected:
  ReplicaTest() {
    std::vector<WorkerInfo> workers;
    v1::Plan plan;
    for (const char* name : {"a", "b", "c"}) {
      workers.emplace_back().hello.set_name(name);
      plan.add_stages()->set_worker(name);
    }
    replica_ = std::make_unique<Replica>(1, plan, workers);
    replica_->pipeline = std::make_unique<ScriptedPipeline>(stats_);
  }
  absl::Status Look() {
    now_ += absl::Minutes(1);
    return replica_->CheckProgress(now_, kPatience);
  }

  std::vector<StageStats> stats_{3};
  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  std::unique_ptr<Replica> replica_;
};

TEST_F(ReplicaTest, WhoHasNothingToDoMakesNoProgress) {
  for (int i = 0; i < 10; ++i) EXPECT_OK(Look());
  now_ += absl::Hours(10);
  for (StageStats& stage : stats_) stage.waiting = 1;
  EXPECT_OK(Look()) << "its first step has just come";
}

TEST_F(ReplicaTest, AStepThatAnyStageEndsIsProgress) {
  for (StageStats& stage : stats_) stage.waiting = 9;
  for (int i = 0; i < 27; ++i) {
    EXPECT_OK(Look());
    ++stats_[i / 9].steps;
    --stats_[i / 9].waiting;
  }
}

TEST_F(ReplicaTest, WhereStepsGoNoFurtherIsSaid) {
  const char* const kWords[] = {"worker a has taken no step",
                                "nothing has come from worker a to worker b",
                                "nothing has come from worker b to worker c"};
  for (int reached = 0; reached < 3; ++reached) {
    for (int i = 0; i < 3; ++i) stats_[i].waiting = i < reached ? 0 : 1;
    for (int i = 0; i < 3; ++i) EXPECT_OK(Look());
    EXPECT_THAT(Look(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(kWords[reached])));
  }
}

}  // namespace
}  // namespace layercake
