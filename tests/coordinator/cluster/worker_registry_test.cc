#include "coordinator/cluster/worker_registry.h"

#include "common/rpc/duration.h"
#include "common/rpc/protocol.h"
#include "tests/testing/manual_clock.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::Hello MakeHello(const std::string& name) {
  v1::Hello hello;
  hello.set_protocol_version(kProtocolVersion);
  hello.set_version(kVersion);
  hello.set_name(name);
  hello.set_address("127.0.0.1:1");
  hello.mutable_device()->set_kind(v1::DEVICE_KIND_CPU);
  return hello;
}

class WorkerRegistryTest : public ::testing::Test {
 protected:
  WorkerRegistryTest() {
    registry_.OnChange([this] { ++changes_; });
  }

  ManualClock clock_;
  WorkerRegistry registry_{&clock_, {.heartbeat_timeout = absl::Seconds(2)}};
  int changes_ = 0;
};

TEST_F(WorkerRegistryTest, RefusesAnotherProtocolVersionByName) {
  v1::Hello hello = MakeHello("old");
  hello.set_protocol_version(kProtocolVersion + 1);
  hello.set_version("9.9.9");
  EXPECT_THAT(registry_.Join(hello),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 9.9.9")));
  EXPECT_EQ(registry_.num_alive(), 0);
}

TEST_F(WorkerRegistryTest, RefusesIncompleteHellos) {
  EXPECT_THAT(registry_.Join(MakeHello("")), StatusIs(absl::StatusCode::kInvalidArgument));
  v1::Hello no_address = MakeHello("a");
  no_address.clear_address();
  EXPECT_THAT(registry_.Join(no_address), StatusIs(absl::StatusCode::kInvalidArgument));
  v1::Hello no_device = MakeHello("a");
  no_device.clear_device();
  EXPECT_THAT(registry_.Join(no_device), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(WorkerRegistryTest, ANameBelongsToOneLiveWorker) {
  LC_ASSERT_OK_AND_ASSIGN(const uint64_t first, registry_.Join(MakeHello("a")));
  EXPECT_THAT(registry_.Join(MakeHello("a")),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("--name")));
  registry_.Lose(first, "unplugged");
  LC_ASSERT_OK_AND_ASSIGN(const uint64_t second, registry_.Join(MakeHello("a")));
  EXPECT_GT(second, first);
  EXPECT_EQ(registry_.num_alive(), 1);
}

TEST_F(WorkerRegistryTest, SilenceLosesAWorkerAndAHeartbeatKeepsIt) {
  LC_ASSERT_OK_AND_ASSIGN(const uint64_t quiet, registry_.Join(MakeHello("quiet")));
  LC_ASSERT_OK_AND_ASSIGN(const uint64_t lively, registry_.Join(MakeHello("lively")));
  clock_.Advance(absl::Seconds(1.5));
  EXPECT_TRUE(registry_.Beat(lively, {}));
  EXPECT_THAT(registry_.LoseSilent(), IsEmpty());
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(registry_.LoseSilent(), ElementsAre(quiet));
  EXPECT_FALSE(registry_.Beat(quiet, {}));
  EXPECT_EQ(changes_, 3);
  EXPECT_THAT(registry_.Snapshot()[1].lost_reason, HasSubstr("no heartbeat for 2s"));
}

TEST_F(WorkerRegistryTest, AHungStepLosesAWorkerThatStillBeats) {
  LC_ASSERT_OK_AND_ASSIGN(const uint64_t session, registry_.Join(MakeHello("hung")));
  v1::Heartbeat heartbeat;
  *heartbeat.mutable_step_running() = ToProto(absl::Seconds(59));
  registry_.Beat(session, heartbeat);
  EXPECT_THAT(registry_.LoseSilent(), IsEmpty());
  *heartbeat.mutable_step_running() = ToProto(absl::Seconds(61));
  registry_.Beat(session, heartbeat);
  EXPECT_THAT(registry_.LoseSilent(), ElementsAre(session));
}

TEST_F(WorkerRegistryTest, AReportedFailureLosesTheWorkerWithItsWords) {
  LC_ASSERT_OK_AND_ASSIGN(const uint64_t session, registry_.Join(MakeHello("a")));
  v1::Heartbeat heartbeat;
  heartbeat.set_failure("illegal memory access");
  EXPECT_FALSE(registry_.Beat(session, heartbeat));
  EXPECT_THAT(registry_.Snapshot()[0].lost_reason, HasSubstr("illegal memory access"));
}

TEST_F(WorkerRegistryTest, AWorkerThatLeavesIsGoneAtOnce) {
  LC_ASSERT_OK_AND_ASSIGN(const uint64_t session, registry_.Join(MakeHello("a")));
  v1::Heartbeat heartbeat;
  heartbeat.set_leaving(true);
  EXPECT_FALSE(registry_.Beat(session, heartbeat));
  EXPECT_EQ(registry_.num_alive(), 0);
  EXPECT_EQ(registry_.Snapshot()[0].lost_reason, "it was stopped");
}

TEST_F(WorkerRegistryTest, LosingTwiceTellsOnce) {
  LC_ASSERT_OK_AND_ASSIGN(const uint64_t session, registry_.Join(MakeHello("a")));
  registry_.Lose(session, "first");
  registry_.Lose(session, "second");
  EXPECT_EQ(changes_, 2);
  EXPECT_EQ(registry_.Snapshot()[0].lost_reason, "first");
}

}  // namespace
}  // namespace layercake
