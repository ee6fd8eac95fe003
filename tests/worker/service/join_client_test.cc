#include "worker/service/join_client.h"

#include <string>
#include <thread>
#include <vector>

#include "tests/testing/scripted_coordinator.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A JoinClient on a thread of its own.
class RunningClient {
 public:
  explicit RunningClient(const std::string& coordinator,
                         absl::Duration patience = absl::ZeroDuration(), uint64_t fails_at = 0,
                         uint64_t computes_until = 0)
      : client_({coordinator, absl::Milliseconds(5), absl::Milliseconds(20), patience},
                {[] {
                   v1::Hello hello;
                   hello.set_name("w");
                   return hello;
                 },
                 [=, this] {
                   v1::Heartbeat heartbeat;
                   heartbeat.set_steps(++beats_);
                   if (beats_ < computes_until) heartbeat.mutable_step_running()->set_seconds(62);
                   if (beats_ == fails_at) heartbeat.set_failure("illegal memory access");
                   return heartbeat;
                 }}),
        thread_([this] { status_ = client_.Run(); }) {}
  ~RunningClient() {
    if (thread_.joinable()) Stop().IgnoreError();
  }

  absl::Status Stop() {
    client_.Stop();
    return Join();
  }
  absl::Status Join() {
    thread_.join();
    return status_;
  }

 private:
  uint64_t beats_ = 0;
  absl::Status status_;
  JoinClient client_;
  std::thread thread_;
};

TEST(JoinClientTest, SaysHelloThenBeats) {
  ScriptedCoordinator coordinator({});
  RunningClient client(coordinator.address());
  coordinator.WaitForHeartbeats(5);
  EXPECT_OK(client.Stop());
  ASSERT_EQ(coordinator.hellos().size(), 1u);
  EXPECT_EQ(coordinator.hellos()[0].name(), "w");
  const auto heartbeats = coordinator.heartbeats();
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(heartbeats[i].steps(), heartbeats[0].steps() + i);
}

TEST(JoinClientTest, StaysAwayWhileAStepOfTheLastEpochHangs) {
  ScriptedCoordinator coordinator({});
  RunningClient client(coordinator.address(), absl::ZeroDuration(), /*fails_at=*/0,
                       /*computes_until=*/4);
  coordinator.WaitForHeartbeats(1);
  EXPECT_OK(client.Stop());
  EXPECT_EQ(coordinator.hellos().size(), 1u);
  EXPECT_FALSE(coordinator.heartbeats()[0].has_step_running());
}

TEST(JoinClientTest, JoinsAgainWhenTheStreamEnds) {
  ScriptedCoordinator coordinator({{.heartbeats = 2}, {.heartbeats = 0}});
  RunningClient client(coordinator.address());
  coordinator.WaitForHellos(3);
  EXPECT_OK(client.Stop());
}

TEST(JoinClientTest, JoinsAgainWhenTheCoordinatorComesBack) {
  ScriptedCoordinator coordinator({});
  RunningClient client(coordinator.address());
  coordinator.WaitForHeartbeats(1);
  const std::string address = coordinator.address();
  coordinator.Stop();
  coordinator.Start(address);
  coordinator.WaitForHellos(2);
  EXPECT_OK(client.Stop());
}

TEST(JoinClientTest, WaitsForACoordinatorThatIsNotThereYetAndStopsAtOnce) {
  RunningClient client("127.0.0.1:1");
  EXPECT_OK(client.Stop());
}

TEST(JoinClientTest, ARefusedVersionIsFinal) {
  ScriptedCoordinator coordinator(
      {{.refusal = absl::FailedPreconditionError("this is protocol 2; install 0.2")}});
  RunningClient client(coordinator.address());
  EXPECT_THAT(client.Join(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                      AllOf(HasSubstr(coordinator.address()),
                                            HasSubstr("this is protocol 2; install 0.2"))));
}

TEST(JoinClientTest, OtherErrorsAreTriedAgain) {
  ScriptedCoordinator coordinator({{.refusal = absl::UnavailableError("not leading")},
                                   {.refusal = absl::InternalError("oops")}});
  RunningClient client(coordinator.address());
  coordinator.WaitForHeartbeats(1);
  EXPECT_OK(client.Stop());
  EXPECT_EQ(coordinator.hellos().size(), 3u);
}

TEST(JoinClientTest, AReportedFailureIsTheLastHeartbeatAndEndsTheProgram) {
  ScriptedCoordinator coordinator({});
  RunningClient client(coordinator.address(), absl::ZeroDuration(), /*fails_at=*/4);
  EXPECT_THAT(client.Join(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("illegal memory access")));
  ASSERT_EQ(coordinator.heartbeats().size(), 3u);
  EXPECT_EQ(coordinator.heartbeats()[2].failure(), "illegal memory access");
  EXPECT_EQ(coordinator.hellos().size(), 1u);
}

TEST(JoinClientTest, ATakenNameIsTriedAgainForAWhile) {
  const ScriptedCoordinator::Act taken{.refusal = absl::AlreadyExistsError("w is alive")};
  {
    ScriptedCoordinator coordinator({taken, taken});
    RunningClient client(coordinator.address(), absl::Minutes(1));
    coordinator.WaitForHeartbeats(1);
    EXPECT_OK(client.Stop());
  }
  ScriptedCoordinator coordinator(std::vector<ScriptedCoordinator::Act>(100, taken));
  RunningClient client(coordinator.address(), absl::Milliseconds(1));
  EXPECT_THAT(client.Join(), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("w is alive")));
}

}  // namespace
}  // namespace layercake
