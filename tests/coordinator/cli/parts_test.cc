// The pure parts: command lines of the local cluster, the chat session, progress.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/cli/chat_session.h"
#include "coordinator/cli/load_progress.h"
#include "coordinator/cli/local_cluster.h"
#include "coordinator/cli/output.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;
using Kind = ChatSession::Action::Kind;

std::string Line(const ChildSpec& spec) { return absl::StrJoin(spec.argv, " "); }

TEST(LocalClusterTest, OneWorkerWithAllCoresByDefault) {
  LC_ASSERT_OK_AND_ASSIGN(const auto workers,
                          WorkerSpecs({.program_dir = "/bin", .num_cores = 4}, "127.0.0.1:1"));
  ASSERT_EQ(workers.size(), 1u);
  EXPECT_EQ(Line(workers[0]),
            "/bin/layercake-worker --coordinator 127.0.0.1:1 --name cpu-0 --listen 127.0.0.1:0 "
            "--device cpu --threads 4 --log-level warning");
}

TEST(LocalClusterTest, MemoryListSaysHowManyWorkersAndCoresAreDivided) {
  LC_ASSERT_OK_AND_ASSIGN(const auto workers,
                          WorkerSpecs({.memory = {"3GiB", "1GiB"}, .num_cores = 3}, "h:1"));
  ASSERT_EQ(workers.size(), 2u);
  EXPECT_THAT(Line(workers[0]), HasSubstr("--threads 2 --log-level warning --memory 3GiB"));
  EXPECT_THAT(Line(workers[1]), HasSubstr("--threads 1 --log-level warning --memory 1GiB"));
}

TEST(LocalClusterTest, MoreWorkersThanCoresStillGetAThreadEach) {
  LC_ASSERT_OK_AND_ASSIGN(
      const auto workers,
      WorkerSpecs({.cpu_workers = 3, .memory = {"1GiB"}, .num_cores = 1}, "h:1"));
  ASSERT_EQ(workers.size(), 3u);
  for (const ChildSpec& worker : workers) {
    EXPECT_THAT(Line(worker), HasSubstr("--threads 1 --log-level warning --memory 1GiB"));
  }
}

TEST(LocalClusterTest, OneWorkerPerDeviceAndOnlyCpusDivideTheCores) {
  LC_ASSERT_OK_AND_ASSIGN(const auto workers, WorkerSpecs({.devices = {"cuda:0", "cuda:1", "cpu"},
                                                           .memory = {"11GiB", "5GiB", "16GiB"},
                                                           .transport = "grpc",
                                                           .num_cores = 8},
                                                          "h:1"));
  ASSERT_EQ(workers.size(), 3u);
  EXPECT_THAT(Line(workers[0]), HasSubstr("--name cuda-0 --listen 127.0.0.1:0 --device cuda:0 "
                                          "--threads 1 --log-level warning --transport grpc "
                                          "--memory 11GiB"));
  EXPECT_THAT(Line(workers[1]), HasSubstr("--name cuda-1"));
  EXPECT_THAT(Line(workers[2]), HasSubstr("--name cpu-0 --listen 127.0.0.1:0 --device cpu "
                                          "--threads 8"));
}

TEST(LocalClusterTest, CardsDivideTheCoresWhereNoCpuComputes) {
  LC_ASSERT_OK_AND_ASSIGN(
      const auto workers,
      WorkerSpecs({.devices = {"cuda:0", "cuda:1", "cuda:2"}, .num_cores = 8}, "h:1"));
  ASSERT_EQ(workers.size(), 3u);
  EXPECT_THAT(Line(workers[0]), HasSubstr("--device cuda:0 --threads 3 "));
  EXPECT_THAT(Line(workers[1]), HasSubstr("--device cuda:1 --threads 3 "));
  EXPECT_THAT(Line(workers[2]), HasSubstr("--device cuda:2 --threads 2 "));
}

TEST(LocalClusterTest, ACardTwiceIsRefused) {
  EXPECT_THAT(WorkerSpecs({.devices = {"cuda:0", "cuda:0"}}, "h:1"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("names cuda:0 twice")));
  EXPECT_THAT(WorkerSpecs({.devices = {"cuda:0"}, .memory = {"1GiB", "2GiB"}}, "h:1"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 values for 1 workers")));
}

TEST(LocalClusterTest, GpusThatCannotBeUsedAreLeftOutInWords) {
  v1::DeviceList list;
  for (const char* problem : {"", "it is in use by another process"}) {
    v1::Device& device = *list.add_devices();
    device.set_kind(v1::DEVICE_KIND_CUDA);
    device.set_selector(absl::StrCat("cuda:", list.devices_size() - 1));
    device.set_problem(problem);
  }
  list.add_devices()->set_kind(v1::DEVICE_KIND_CPU);
  std::string said;
  EXPECT_THAT(UsableGpus(list, [&said](const std::string& line) { said += line; }),
              ::testing::ElementsAre("cuda:0"));
  EXPECT_EQ(said, "cuda:1 is left out: it is in use by another process");
}

TEST(LocalClusterTest, ListsThatDoNotMatchAreRefused) {
  EXPECT_THAT(WorkerSpecs({.cpu_workers = 3, .memory = {"1GiB", "2GiB"}}, "h:1"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("--memory lists 2 values for 3 workers")));
  EXPECT_THAT(WorkerSpecs({.memory = {"lots"}}, "h:1"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a size")));
  EXPECT_THAT(WorkerSpecs({.threads = {0}}, "h:1"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(LocalClusterTest, LocalAddressReachesAWildcard) {
  EXPECT_EQ(LocalAddress("0.0.0.0:0", 7), "127.0.0.1:7");
  EXPECT_EQ(LocalAddress("[::]:9", 7), "[::1]:7");
  EXPECT_EQ(LocalAddress("10.0.0.2:9", 7), "10.0.0.2:7");
}

TEST(ChatSessionTest, KeepsTheConversation) {
  ChatSession session{v1::ChatRequest()};
  EXPECT_EQ(session.Take("  hello ").kind, Kind::kSend);
  session.Answer("hi");
  EXPECT_EQ(session.Take("//not a command").kind, Kind::kSend);
  const v1::ChatRequest& request = session.request();
  ASSERT_EQ(request.messages_size(), 3);
  EXPECT_EQ(request.messages(0).content(), "hello");
  EXPECT_EQ(request.messages(1).role(), "assistant");
  EXPECT_EQ(request.messages(2).content(), "/not a command");
  session.Forget();
  EXPECT_EQ(session.request().messages_size(), 2);
}

TEST(ChatSessionTest, ResetKeepsTheSystemPrompt) {
  ChatSession session{v1::ChatRequest()};
  EXPECT_EQ(session.Take("/system Be kind.").kind, Kind::kShow);
  session.Take("hello");
  EXPECT_EQ(session.Take("/reset").kind, Kind::kShow);
  ASSERT_EQ(session.request().messages_size(), 1);
  EXPECT_EQ(session.request().messages(0).content(), "Be kind.");
  session.Take("/system");
  EXPECT_EQ(session.request().messages_size(), 0);
}

TEST(ChatSessionTest, OtherLines) {
  ChatSession session{v1::ChatRequest()};
  EXPECT_EQ(session.Take("   ").kind, Kind::kNothing);
  EXPECT_EQ(session.Take("/exit").kind, Kind::kExit);
  EXPECT_THAT(session.Take("/dance").text, HasSubstr("no command /dance"));
  EXPECT_EQ(session.request().messages_size(), 0);
}

TEST(OutputTest, QuotesTextAndBrokenCharacters) {
  EXPECT_EQ(Quote("h\xc3\xa9\n\""), "\"h\xc3\xa9\\n\\\"\"");
  EXPECT_EQ(Quote("\xc3"), "\"\\xc3\"");
}

TEST(LoadProgressTest, BarPerStage) {
  v1::LoadModelProgress progress;
  auto* half = progress.add_stages();
  half->set_worker("a");
  half->set_loaded_bytes(5);
  half->set_total_bytes(10);
  auto* done = progress.add_stages();
  done->set_worker("b");
  done->set_done(true);
  EXPECT_EQ(FormatLoadProgress(progress, 80), "Loading  a [##########----------] 50%  b done");
  EXPECT_EQ(FormatLoadProgress(progress, 9), "Loading  ");
}

}  // namespace
}  // namespace layercake
