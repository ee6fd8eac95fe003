#include "coordinator/cli/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);

class ManualClock final : public Clock {
 public:
  absl::Time Now() const override { return now; }
  absl::Time now = absl::UnixEpoch();
};

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() {
    // As `serve` does: a child's end then wakes WaitForChild at once.
    sigemptyset(&child_);
    sigaddset(&child_, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &child_, &before_);
  }
  ~SupervisorTest() override { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  ChildSpec Shell(const std::string& script) {
    return {.name = "child", .argv = {"/bin/sh", "-c", script}};
  }
  // Ticks until `done`, waking at each child's end.
  template <typename Done>
  std::optional<Supervisor::Failure> TickUntil(Done done) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (absl::Now() < deadline) {
      if (auto failure = supervisor_.Tick()) return failure;
      if (done()) return std::nullopt;
      const timespec wait = absl::ToTimespec(absl::Milliseconds(20));
      sigtimedwait(&child_, nullptr, &wait);
    }
    ADD_FAILURE() << "nothing came of it";
    return std::nullopt;
  }

  sigset_t child_;
  sigset_t before_;
  ManualClock clock_;
  std::vector<std::string> said_;
  Supervisor supervisor_{RestartPolicy(), &clock_,
                         [this](const std::string& line) { said_.push_back(line); }};
};

TEST_F(SupervisorTest, EndOfAnEssentialChildIsTheEnd) {
  ASSERT_OK(supervisor_.Start(Shell("exit 3"), Supervisor::Role::kEssential));
  const auto failure = TickUntil([] { return false; });
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->exit_code, 3);
  EXPECT_EQ(failure->message, "child exited with code 3");
}

TEST_F(SupervisorTest, CleanEndOfAnEssentialChildIsAFailureToo) {
  ASSERT_OK(supervisor_.Start(Shell("exit 0"), Supervisor::Role::kEssential));
  EXPECT_EQ(TickUntil([] { return false; })->exit_code, 1);
}

TEST_F(SupervisorTest, DeadWorkerIsStartedAgainWithGrowingDelay) {
  ASSERT_OK(supervisor_.Start(Shell("kill -9 $$"), Supervisor::Role::kRestartable));
  for (size_t deaths = 1; deaths <= 7; ++deaths) {
    EXPECT_FALSE(TickUntil([&] { return said_.size() == deaths; }).has_value());
    clock_.now += absl::Seconds(30);
  }
  std::vector<std::string> delays;
  for (const std::string& line : said_) delays.push_back(line.substr(line.rfind(' ') + 1));
  EXPECT_THAT(said_[0],
              HasSubstr("child was killed by signal 9 (Killed); starting it again in 1s"));
  EXPECT_THAT(delays, ElementsAre("1s", "2s", "4s", "8s", "16s", "30s", "30s"));
}

TEST_F(SupervisorTest, DeadWorkerIsNotStartedBeforeItIsDue) {
  const std::string log = absl::StrCat(::testing::TempDir(), "/starts.", getpid());
  ASSERT_OK(supervisor_.Start(Shell(absl::StrCat("echo x >>", log, "; exit 1")),
                              Supervisor::Role::kRestartable));
  EXPECT_FALSE(TickUntil([&] { return said_.size() == 1; }).has_value());
  clock_.now += absl::Milliseconds(999);
  EXPECT_FALSE(supervisor_.Tick().has_value());
  std::string line;
  std::ifstream file(log);
  EXPECT_TRUE(std::getline(file, line));
  EXPECT_FALSE(std::getline(file, line));
}

TEST_F(SupervisorTest, DelayStartsAnewAfterALongLife) {
  ASSERT_OK(supervisor_.Start(Shell("exit 1"), Supervisor::Role::kRestartable));
  clock_.now += absl::Seconds(100);
  EXPECT_FALSE(TickUntil([&] { return said_.size() == 1; }).has_value());
  EXPECT_THAT(said_[0], HasSubstr("in 1s"));
}

TEST_F(SupervisorTest, WorkerThatWouldOnlyFailAgainEndsTheService) {
  ASSERT_OK(supervisor_.Start(Shell("exit 2"), Supervisor::Role::kRestartable));
  const auto failure = TickUntil([] { return false; });
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->exit_code, 2);
}

TEST_F(SupervisorTest, StopEndsEvenChildrenThatIgnoreTheAsking) {
  const std::string ready = absl::StrCat(::testing::TempDir(), "/ready.", getpid());
  ASSERT_OK(
      supervisor_.Start(Shell(absl::StrCat("trap '' TERM; echo $$ >", ready, ".tmp; mv ", ready,
                                           ".tmp ", ready, "; while :; do sleep 1; done")),
                        Supervisor::Role::kRestartable));
  EXPECT_FALSE(TickUntil([&] { return access(ready.c_str(), F_OK) == 0; }).has_value());
  pid_t pid = 0;
  std::ifstream(ready) >> pid;
  ASSERT_GT(pid, 0);
  supervisor_.Stop(absl::Milliseconds(50));
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_FALSE(supervisor_.Tick().has_value());
}

TEST_F(SupervisorTest, MissingProgramIsSaid) {
  EXPECT_THAT(
      supervisor_.Start({.name = "x", .argv = {"/no/such/program"}}, Supervisor::Role::kEssential),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/program")));
}

TEST_F(SupervisorTest, ChildrenDoNotInheritOurFlagsFromTheEnvironment) {
  setenv("LAYERCAKE_LISTEN", "1.2.3.4:5", 1);
  ASSERT_OK(supervisor_.Start(Shell("test -z \"$LAYERCAKE_LISTEN\" && exit 40; exit 41"),
                              Supervisor::Role::kEssential));
  EXPECT_EQ(TickUntil([] { return false; })->exit_code, 40);
  unsetenv("LAYERCAKE_LISTEN");
}

}  // namespace
}  // namespace layercake
