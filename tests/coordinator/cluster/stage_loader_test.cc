#include "coordinator/cluster/stage_loader.h"

#include <grpcpp/server_builder.h>

#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
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

// A port of this host at which nobody listens.
int SilentPort() {
  LoadedAtOnce service;
  int port = 0;
  Listen(service, port)->Shutdown();
  return port;
}

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
  int port = SilentPort();
  LoadJob job = JobAt(port);
  LoadedAtOnce service;
  std::unique_ptr<grpc::Server> server;
  std::thread late([&] {
    absl::SleepFor(absl::Milliseconds(50));
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
  LoadJob job = JobAt(SilentPort());
  const absl::Time begin = absl::Now();
  EXPECT_THAT(Load(job), StatusIs(absl::StatusCode::kUnavailable,
                                  AllOf(HasSubstr("worker late"), HasSubstr("127.0.0.1"))));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

}  // namespace
}  // namespace layercake
