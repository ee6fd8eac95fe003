#include "worker/service/join_client.h"

#include <grpcpp/server.h>

#include <chrono>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Answers one Join after another as scripted; an unexpected one is kept waiting.
class ScriptedCoordinator final : public v1::Cluster::Service {
 public:
  struct Act {
    absl::Status refusal;  // not OK: instead of a welcome
    int heartbeats = 0;    // to take before ending the call
  };

  explicit ScriptedCoordinator(std::vector<Act> acts) : acts_(std::move(acts)) {
    Start("127.0.0.1:0");
  }
  ~ScriptedCoordinator() override { Stop(); }

  void Start(const std::string& address) {
    grpc::ServerBuilder builder;
    ConfigureServer(builder);
    builder.RegisterService(this);
    int port = 0;
    auto server = StartServer(builder, address, &port);
    EXPECT_OK(server);
    server_ = *std::move(server);
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  void Stop() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    server_ = nullptr;
  }

  grpc::Status Join(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::CoordinatorMessage, v1::WorkerMessage>* stream) override {
    v1::WorkerMessage message;
    if (!stream->Read(&message)) return grpc::Status::CANCELLED;
    Act act{.heartbeats = 1 << 30};
    {
      MutexLock lock(mutex_);
      hellos_.push_back(message.hello());
      changed_.NotifyAll();
      if (hellos_.size() <= acts_.size()) act = acts_[hellos_.size() - 1];
    }
    if (!act.refusal.ok()) return ToGrpcStatus(act.refusal);
    v1::CoordinatorMessage welcome;
    welcome.mutable_welcome()->mutable_heartbeat_interval()->set_nanos(5'000'000);
    stream->Write(welcome);
    for (int i = 0; i < act.heartbeats && stream->Read(&message); ++i) {
      MutexLock lock(mutex_);
      heartbeats_.push_back(message.heartbeat());
      changed_.NotifyAll();
    }
    return grpc::Status::OK;
  }

  void WaitForHellos(size_t count) {
    MutexLock lock(mutex_);
    while (hellos_.size() < count) changed_.Wait(mutex_);
  }
  void WaitForHeartbeats(size_t count) {
    MutexLock lock(mutex_);
    while (heartbeats_.size() < count) changed_.Wait(mutex_);
  }

  std::vector<v1::Hello> hellos() {
    MutexLock lock(mutex_);
    return hellos_;
  }
  std::vector<v1::Heartbeat> heartbeats() {
    MutexLock lock(mutex_);
    return heartbeats_;
  }
  const std::string& address() const { return address_; }

 private:
  const std::vector<Act> acts_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<v1::Hello> hellos_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::Heartbeat> heartbeats_ ABSL_GUARDED_BY(mutex_);
};

// A JoinClient on a thread of its own.
class RunningClient {
 public:
  explicit RunningClient(const std::string& coordinator,
                         absl::Duration patience = absl::ZeroDuration())
      : client_({coordinator, absl::Milliseconds(5), absl::Milliseconds(20), patience},
                {[] {
                   v1::Hello hello;
                   hello.set_name("w");
                   return hello;
                 },
                 [this] {
                   v1::Heartbeat heartbeat;
                   heartbeat.set_steps(++beats_);
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
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(heartbeats[i].steps(), i + 1);
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
