#include "coordinator/cli/child_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

extern char** environ;

namespace layercake {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(50);

std::vector<char*> Environment() {
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (absl::StartsWith(*entry, "LAYERCAKE_")) continue;
    environment.push_back(*entry);
  }
  environment.push_back(nullptr);
  return environment;
}

// After fork in a program with threads: async-signal-safe calls only.
[[noreturn]] void BecomeChild(pid_t parent, char* const* argv, char* const* environment) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  execve(argv[0], argv, environment);
  _exit(127);
}

}  // namespace

absl::StatusOr<pid_t> SpawnChild(const ChildSpec& spec) {
  if (access(spec.argv[0].c_str(), X_OK) != 0) {
    return absl::NotFoundError(absl::StrCat("cannot run ", spec.argv[0], ": ", strerror(errno)));
  }
  std::vector<char*> argv;
  for (const std::string& argument : spec.argv) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const std::vector<char*> environment = Environment();
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot start ", spec.name, ": ", strerror(errno)));
  }
  if (pid == 0) BecomeChild(parent, argv.data(), environment.data());
  return pid;
}

std::optional<ChildExit> PollChild(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, WNOHANG) != pid) return std::nullopt;
  if (WIFSIGNALED(status)) return ChildExit{.signal = WTERMSIG(status)};
  return ChildExit{.code = WEXITSTATUS(status)};
}

void StopChildren(const std::vector<pid_t>& pids, absl::Duration grace) {
  std::vector<pid_t> left = pids;
  const auto signal_all = [&left](int signal) {
    for (const pid_t pid : left) kill(pid, signal);
  };
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGINT, SIGTERM}) sigaddset(&signals, signal);
  signal_all(SIGTERM);
  const absl::Time deadline = absl::Now() + grace;
  bool killed = false;
  while (true) {
    std::erase_if(left, [](pid_t pid) { return PollChild(pid).has_value(); });
    if (left.empty()) return;
    const timespec wait = absl::ToTimespec(kPoll);
    const int signal = sigtimedwait(&signals, nullptr, &wait);
    const bool impatient = signal == SIGINT || signal == SIGTERM;
    if (!killed && (impatient || absl::Now() >= deadline)) {
      signal_all(SIGKILL);
      killed = true;
    }
  }
}

std::string DescribeExit(const ChildExit& exit) {
  if (exit.signal == 0) return absl::StrCat("exited with code ", exit.code);
  return absl::StrCat("was killed by signal ", exit.signal, " (", strsignal(exit.signal), ")");
}

}  // namespace layercake
