// What works on a cluster for longer than one call: the conversation and the loader of `serve`.

#include <signal.h>
#include <unistd.h>

#include <sstream>

#include "coordinator/cli/chat_loop.h"
#include "coordinator/cli/cluster_loader.h"
#include "tests/coordinator/cli/fake_coordinator.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

class ConversationTest : public CliTest {
 protected:
  void Say(const std::string& lines, bool stats = false) {
    std::istringstream in(lines);
    Converse(Connection(server_.address()), ChatSession(v1::ChatRequest()),
             {.in = in, .out = out_, .err = err_}, nullptr, stats);
  }

  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(ConversationTest, SendsTheHistoryWithEveryMessage) {
  Say("hello\nand then?\n/exit\nnot read\n");
  EXPECT_EQ(out_.str(), "> once upon\n> once upon\n> ");
  ASSERT_EQ(inference_.chat_requests.size(), 2u);
  ASSERT_EQ(inference_.chat_requests[1].messages_size(), 3);
  EXPECT_EQ(inference_.chat_requests[1].messages(1).role(), "assistant");
  EXPECT_EQ(inference_.chat_requests[1].messages(1).content(), "once upon");
}

TEST_F(ConversationTest, MessageThatGotNoAnswerIsForgotten) {
  inference_.pieces.clear();
  inference_.end = absl::UnavailableError("worker cpu-1 was lost");
  Say("hello\nagain\n");
  EXPECT_THAT(err_.str(), HasSubstr("layercake: worker cpu-1 was lost"));
  ASSERT_EQ(inference_.chat_requests.size(), 2u);
  EXPECT_EQ(inference_.chat_requests[1].messages_size(), 1);
}

TEST_F(ConversationTest, AnswerCutShortStaysInTheHistory) {
  inference_.end = absl::UnavailableError("gone");
  Say("hello\nagain\n", /*stats=*/true);
  ASSERT_EQ(inference_.chat_requests.size(), 2u);
  EXPECT_EQ(inference_.chat_requests[1].messages_size(), 3);
}

// In a process of its own, whose threads are all made after the watcher.
void InterruptACall() {
  InterruptWatcher interrupts;
  FakeAdmin admin;
  admin.wait_for_cancel = true;
  const LoopbackServer server({&admin});
  const Connection connection(server.address());
  grpc::ClientContext context;
  const InterruptWatcher::Scope scope(interrupts, context);
  kill(getpid(), SIGINT);
  v1::DrainResponse response;
  const grpc::Status status = connection.admin().Drain(&context, v1::DrainRequest(), &response);
  _exit(status.error_code() == grpc::StatusCode::CANCELLED ? 0 : 1);
}

TEST(InterruptDeathTest, EndsTheCallThatRuns) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(InterruptACall(), ::testing::ExitedWithCode(0), "");
}

void InterruptNothing() {
  InterruptWatcher interrupts;
  kill(getpid(), SIGINT);
  while (true) pause();
}

TEST(InterruptDeathTest, EndsTheProgramOtherwise) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(InterruptNothing(), ::testing::ExitedWithCode(130), "");
}

class LoaderTest : public CliTest {
 protected:
  void AddWorkers(int count) {
    for (int i = 0; i < count; ++i) {
      admin_.status.add_workers()->set_state(v1::WORKER_STATE_IDLE);
    }
  }
  absl::StatusOr<v1::Plan> Finish(ClusterLoader& loader) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (!loader.ended() && absl::Now() < deadline) std::this_thread::yield();
    if (!loader.ended()) return absl::DeadlineExceededError("never ended");
    return loader.result();
  }

  v1::LoadModelRequest request_;
};

TEST_F(LoaderTest, LoadsOnceAllWorkersAreThere) {
  AddWorkers(2);
  admin_.plan.set_model("m");
  request_.set_model_dir("/models/m");
  ClusterLoader loader(server_.address(), 2, request_, nullptr);
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, Finish(loader));
  EXPECT_EQ(plan.model(), "m");
  EXPECT_EQ(admin_.load_request.model_dir(), "/models/m");
}

TEST_F(LoaderTest, ReturnsTheCoordinatorsRefusal) {
  AddWorkers(1);
  admin_.load_end = absl::ResourceExhaustedError("short by 1 GiB");
  ClusterLoader loader(server_.address(), 1, request_, nullptr);
  EXPECT_THAT(Finish(loader),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("short by 1 GiB")));
}

TEST_F(LoaderTest, GivesUpAtOnceWhileItWaitsForWorkers) {
  AddWorkers(1);
  admin_.status.mutable_workers(0)->set_state(v1::WORKER_STATE_LOST);
  std::ostringstream terminal;
  { const ClusterLoader loader(server_.address(), 1, request_, &terminal); }
  EXPECT_EQ(admin_.load_request.model_dir(), "");
}

}  // namespace
}  // namespace layercake
