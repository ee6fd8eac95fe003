#include "coordinator/cluster/stage_loader.h"

#include <arpa/inet.h>
#include <grpcpp/server_builder.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/rpc/channel.h"
#include "layercake/v1/stage.grpc.pb.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class LoadedAtOnce final : public v1::Stage::Service {
  grpc::Status Load(grpc::ServerContext*, const v1::LoadStageRequest*,
                    grpc::ServerWriter<v1::LoadStageProgress>* writer) override {
    v1::LoadStageProgress progress;
    progress.set_done(true);
    progress.set_link("the last stage");
    writer->Write(progress);
    return grpc::Status::OK;
  }
};

std::unique_ptr<grpc::Server> Listen(v1::Stage::Service& service, int& port) {
  grpc::ServerBuilder builder;
  ConfigureServer(builder);
  builder.RegisterService(&service);
  absl::StatusOr<std::unique_ptr<grpc::Server>> server =
      StartServer(builder, absl::StrCat("127.0.0.1:", port), &port);
  return server.ok() ? *std::move(server) : nullptr;
}

// A port of this host that takes no connection: the first one is broken, then nobody listens.
class DeafPort {
 public:
  DeafPort() : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    const int yes = 1;
    CHECK_EQ(setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
    CHECK_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    CHECK_EQ(listen(socket_, 1), 0);
    CHECK_EQ(getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~DeafPort() { Close(); }

  int port() const { return port_; }
  void BreakTheFirst() {
    const int connection = accept(socket_, nullptr, nullptr);
    Close();
    close(connection);
  }

 private:
  void Close() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }

  int socket_;
  int port_ = 0;
};

absl::Status Load(LoadJob& job) {
  std::vector<LoadJob> jobs = {job};
  const absl::Status status = LoadStages(
      jobs, [] { return false; }, [](const StageProgress&) {});
  job = jobs[0];
  return status;
}

LoadJob JobAt(int port) {
  LoadJob job = {.epoch = 1, .addresses = {absl::StrCat("127.0.0.1:", port)}};
  job.plan.add_stages()->set_worker("late");
  return job;
}

TEST(StageLoaderTest, AnAttemptToConnectThatFailsIsMadeAgain) {
  DeafPort deaf;
  LoadJob job = JobAt(deaf.port());
  LoadedAtOnce service;
  std::unique_ptr<grpc::Server> server;
  std::thread late([&] {
    deaf.BreakTheFirst();
    int port = deaf.port();
    server = Listen(service, port);
  });
  const absl::Status status = Load(job);
  late.join();
  ASSERT_NE(server, nullptr);
  EXPECT_OK(status);
  EXPECT_EQ(job.plan.stages(0).link(), "the last stage");
  server->Shutdown();
}

TEST(StageLoaderTest, AWorkerThatCannotBeReachedIsNamed) {
  DeafPort deaf;
  LoadJob job = JobAt(deaf.port());
  std::thread gone([&] { deaf.BreakTheFirst(); });
  EXPECT_THAT(Load(job), StatusIs(absl::StatusCode::kUnavailable,
                                  AllOf(HasSubstr("worker late"), HasSubstr("127.0.0.1"))));
  gone.join();
}

}  // namespace
}  // namespace layercake
