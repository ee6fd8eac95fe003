// layercake-worker as a process: how it starts, ends and complains.

#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/options/options.h"
#include "common/rpc/protocol.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/scripted_coordinator.h"
#include "tests/testing/status_matchers.h"
#include "worker/device/cards.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// The program with stdout and stderr in one pipe.
class WorkerProcess {
 public:
  explicit WorkerProcess(std::vector<std::string> args) {
    args.insert(args.begin(), LAYERCAKE_BINARY_DIR "/bin/layercake-worker");
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      dup2(ends[1], STDERR_FILENO);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(ends[1]);
    output_fd_ = ends[0];
  }
  ~WorkerProcess() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(output_fd_);
  }

  void Signal(int signal) { kill(pid_, signal); }

  // Waits until `output()` has `text`; false if it ends before.
  bool WaitForOutput(const std::string& text) {
    char buffer[4096];
    while (output_.find(text) == std::string::npos) {
      const ssize_t n = read(output_fd_, buffer, sizeof(buffer));
      if (n <= 0) return false;
      output_.append(buffer, n);
    }
    return true;
  }

  // Waits for the end; -1 if a signal killed it. `output()` is whole after this.
  int Wait() {
    char buffer[4096];
    for (ssize_t n; (n = read(output_fd_, buffer, sizeof(buffer))) > 0;) output_.append(buffer, n);
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  const std::string& output() const { return output_; }

 private:
  pid_t pid_ = 0;
  int output_fd_ = -1;
  std::string output_;
};

std::vector<std::string> Args(const std::string& coordinator, std::vector<std::string> more = {}) {
  std::vector<std::string> args = {"--coordinator", coordinator, "--profile", "2e9,3e9",
                                   "--log-level",   "error",     "--threads", "1"};
  if (std::count(more.begin(), more.end(), "--device") == 0)
    more.insert(more.end(), {"--device", "cpu"});
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

TEST(WorkerProgramTest, SaysItsVersion) {
  WorkerProcess worker({"--version"});
  EXPECT_EQ(worker.Wait(), kExitOk);
  EXPECT_EQ(worker.output(), std::string("layercake-worker ") + kVersion + "\n");
}

TEST(WorkerProgramTest, JoinsAsToldAndStopsAtASignal) {
  for (const int signal : {SIGTERM, SIGINT}) {
    ScriptedCoordinator coordinator({});
    WorkerProcess worker(Args(coordinator.address(), {"--name", "p106:0", "--memory", "64MiB",
                                                      "--advertise", "10.1.2.3"}));
    coordinator.WaitForHeartbeats(2);
    const v1::Hello hello = coordinator.hellos()[0];
    EXPECT_EQ(hello.protocol_version(), kProtocolVersion);
    EXPECT_EQ(hello.version(), kVersion);
    EXPECT_EQ(hello.name(), "p106:0");
    EXPECT_THAT(hello.address(), ::testing::MatchesRegex("10\\.1\\.2\\.3:[1-9][0-9]*"));
    EXPECT_EQ(hello.device().kind(), v1::DEVICE_KIND_CPU);
    EXPECT_EQ(hello.device().cap_bytes(), 64u << 20);
    EXPECT_EQ(hello.device().free_bytes(), 64u << 20);
    EXPECT_EQ(hello.device().threads(), 1);
    EXPECT_EQ(hello.profile().bandwidth_bytes_per_second(), 2e9);
    EXPECT_EQ(hello.profile().flops_per_second(), 3e9);
    EXPECT_EQ(coordinator.heartbeats()[0].free_bytes(), 64u << 20);
    worker.Signal(signal);
    EXPECT_EQ(worker.Wait(), kExitOk);
    EXPECT_EQ(worker.output(), "");
  }
}

TEST(WorkerProgramTest, ASignalEndsItWhileItMeasures) {
  const TemporaryDirectory cache;
  setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
  WorkerProcess worker({"--coordinator", "a:1", "--device", "cpu", "--profile", "measure"});
  ASSERT_TRUE(worker.WaitForOutput("measuring "));
  worker.Signal(SIGTERM);
  EXPECT_EQ(worker.Wait(), kExitOk);
  EXPECT_THAT(worker.output(), ::testing::Not(HasSubstr("listens on")));
}

TEST(WorkerProgramTest, ARefusalEndsItInOneLine) {
  ScriptedCoordinator coordinator(
      {{.refusal = absl::FailedPreconditionError("this is protocol 2; install 0.2")}});
  WorkerProcess worker(Args(coordinator.address()));
  EXPECT_EQ(worker.Wait(), kExitRefused);
  EXPECT_THAT(worker.output(), AllOf(HasSubstr("layercake-worker: "), HasSubstr("install 0.2")));
  EXPECT_EQ(std::count(worker.output().begin(), worker.output().end(), '\n'), 1);
}

// What asking for a card that nobody has ends in, by what this host has.
struct NoCard {
  int code;
  const char* words;
};
NoCard ExpectedNoCard() {
  CudaRuntime* const runtime = CudaRuntime::Real();
  if (runtime == nullptr) return {kExitUnsupported, "built without CUDA"};
  if (runtime->DriverVersion() == 0) return {kExitNoDriver, "no NVIDIA driver"};
  if (runtime->DriverVersion() < runtime->RuntimeVersion() / 1000 * 1000) {
    return {kExitOldDriver, "update the driver"};
  }
  return {kExitNoDevice, "visible cards"};
}

TEST(WorkerProgramTest, ListsDevicesWithOrWithoutADriver) {
  WorkerProcess table({"--list-devices"});
  EXPECT_EQ(table.Wait(), kExitOk);
  EXPECT_THAT(table.output(), AllOf(HasSubstr("device"), HasSubstr("\ncpu ")));
  WorkerProcess json({"--list-devices", "-o", "json"});
  EXPECT_EQ(json.Wait(), kExitOk);
  v1::DeviceList list;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json.output(), &list).ok());
  ASSERT_GE(list.devices_size(), 1);
  EXPECT_EQ(list.devices(list.devices_size() - 1).selector(), "cpu");
  EXPECT_GT(list.devices(list.devices_size() - 1).free_bytes(), 0u);
}

TEST(WorkerProgramTest, MistakesEndItInOneLineEachWithItsCode) {
  const NoCard no_card = ExpectedNoCard();
  ScriptedCoordinator coordinator({});
  const struct {
    std::vector<std::string> args;
    int code;
    const char* words;
  } kCases[] = {
      {{}, kExitUsage, "--coordinator is required"},
      {Args("a:1", {"--device", "cuda:99"}), no_card.code, no_card.words},
      {Args("a:1", {"--device", "tpu"}), kExitUsage, "write auto, cpu, cuda:N"},
      {Args("a:1", {"--transport", "pigeon"}), kExitUsage, "--transport"},
      {Args("a:1", {"--cuda-graphs", "maybe"}), kExitUsage, "--cuda-graphs"},
      {Args("a:1", {"--dense-products", "mkl"}), kExitUsage, "--dense-products"},
      {Args("a:1", {"--device", "cpu", "--dense-products", "cublaslt"}), kExitUnsupported,
       "is no CUDA device; leave out --dense-products cublaslt"},
      {Args("a:1", {"--memory", "lots"}), kExitUsage, "\"lots\" is not a size"},
      {Args("a:1", {"--threads", "-1"}), kExitUsage, "--threads"},
      {Args("a:1", {"--listen", "nowhere"}), kExitUsage, "write host:port"},
      {Args("a:1", {"--listen", coordinator.address()}), kExitAddress, "in use"},
      {{"--coordinator", "a:1", "--profile", "fast"}, kExitUsage, "BANDWIDTH,FLOPS"},
  };
  for (const auto& mistake : kCases) {
    WorkerProcess worker(mistake.args);
    EXPECT_EQ(worker.Wait(), mistake.code) << mistake.words;
    EXPECT_THAT(worker.output(), HasSubstr(mistake.words));
    EXPECT_EQ(std::count(worker.output().begin(), worker.output().end(), '\n'), 1)
        << worker.output();
  }
}

TEST(WorkerProgramTest, ExitsWithItsParentIfAsked) {
  ScriptedCoordinator coordinator({});
  // Adopts the worker, so that its end can be waited for once its parent is gone.
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  int pid_pipe[2], go_pipe[2];
  ASSERT_EQ(pipe2(pid_pipe, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(go_pipe, O_CLOEXEC), 0);
  const std::string program = LAYERCAKE_BINARY_DIR "/bin/layercake-worker";
  const pid_t parent = fork();
  if (parent == 0) {
    const pid_t worker = fork();
    if (worker == 0) {
      execl(program.c_str(), program.c_str(), "--coordinator", coordinator.address().c_str(),
            "--profile", "1,1", "--log-level", "error", "--exit-with-parent", nullptr);
      _exit(127);
    }
    char go;
    (void)!write(pid_pipe[1], &worker, sizeof(worker));
    (void)!read(go_pipe[0], &go, 1);
    _exit(0);
  }
  pid_t worker = 0;
  ASSERT_EQ(read(pid_pipe[0], &worker, sizeof(worker)), static_cast<ssize_t>(sizeof(worker)));
  coordinator.WaitForHeartbeats(1);
  ASSERT_EQ(write(go_pipe[1], "g", 1), 1);
  ASSERT_EQ(waitpid(parent, nullptr, 0), parent);
  int status = 0;
  ASSERT_EQ(waitpid(worker, &status, 0), worker);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kExitOk);
}

}  // namespace
}  // namespace layercake
