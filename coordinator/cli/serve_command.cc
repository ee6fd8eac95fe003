#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/model/checkpoint.h"
#include "common/options/options.h"
#include "coordinator/cli/cluster_loader.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/local_cluster.h"
#include "coordinator/cli/local_devices.h"
#include "coordinator/cli/output.h"
#include "coordinator/cli/supervisor.h"
#include "coordinator/options/plan_flags.h"
#include "coordinator/placement/plan_table.h"

namespace layercake {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(100);
// For requests to hear why they end; a stage holds nothing worth more.
constexpr absl::Duration kGrace = absl::Seconds(5);

// A driver takes seconds to wake many cards.
constexpr absl::Duration kListTimeout = absl::Seconds(60);

struct ServeFlags {
  LocalClusterOptions cluster;
  v1::LoadModelRequest request;
};

// A directory of our own, removed with all in it.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string path = (std::filesystem::temp_directory_path() / "layercake-XXXXXX").string();
    if (mkdtemp(path.data()) != nullptr) path_ = path;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

sigset_t ServeSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
  return signals;
}

// Waits for a tick, a child's end or a signal; true when it is time to stop.
bool WaitForStop() {
  const sigset_t signals = ServeSignals();
  const timespec wait = absl::ToTimespec(kTick);
  const int signal = sigtimedwait(&signals, nullptr, &wait);
  return signal == SIGINT || signal == SIGTERM || signal == SIGHUP;
}

int NumCores() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

std::string ProgramDirectory() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : self.parent_path().string();
}

void PrintWelcome(const std::string& address, const v1::Plan& plan) {
  const std::string flag =
      address == CommonFlags().address ? "" : absl::StrCat(" --address ", address);
  std::cout << "\n"
            << FormatPlanTable(plan, StyleOfStdout()) << "\n"
            << plan.model() << " is served on " << address << " by " << plan.stages_size()
            << (plan.stages_size() == 1 ? " worker" : " workers")
            << ". In another terminal:\n\n"
               "  layercake run"
            << flag << " \"Once upon a time\"\n  layercake chat" << flag << "\n  layercake status"
            << flag << "\n  grpcurl -plaintext -d '{\"text\": \"Once upon a time\"}' " << address
            << " layercake.v1.Inference/Generate\n\n"
               "Python and others: stubs from proto/layercake/v1/inference.proto.\n"
               "Ctrl-C stops everything."
            << std::endl;
}

class Service {
 public:
  explicit Service(const ServeFlags& flags)
      : flags_(flags), supervisor_(RestartPolicy(), Clock::Real(), [](const std::string& line) {
          std::cerr << "layercake: " << line << std::endl;
        }) {
    flags_.cluster.port_file = scratch_.path() + "/port";
  }

  int Run() {
    const int code = RunUntilStopped();
    if (code == kExitOk && IsTerminal(STDERR_FILENO)) std::cerr << "\nStopping." << std::endl;
    loader_.reset();
    supervisor_.Stop(kGrace);
    return code;
  }

 private:
  int RunUntilStopped() {
    if (const absl::Status status = Start(); !status.ok()) return Report(status);
    bool ready = false;
    while (!WaitForStop()) {
      if (const auto failure = supervisor_.Tick()) {
        std::cerr << "layercake: " << failure->message << std::endl;
        return failure->exit_code;
      }
      if (loader_ == nullptr) {
        const absl::StatusOr<bool> started = StartWorkers();
        if (!started.ok()) return Report(started.status());
        continue;
      }
      if (ready || !loader_->ended()) continue;
      const absl::StatusOr<v1::Plan>& plan = loader_->result();
      if (!plan.ok()) return Report(plan.status());
      PrintWelcome(address_, *plan);
      ready = true;
    }
    return kExitOk;
  }

  // Unless told otherwise, every GPU that can be used gets a worker.
  absl::Status ChooseDevices() {
    LocalClusterOptions& cluster = flags_.cluster;
    if (!cluster.devices.empty() || cluster.cpu_workers > 0) return absl::OkStatus();
    LC_ASSIGN_OR_RETURN(const v1::DeviceList list,
                        ListLocalDevices(cluster.program_dir + "/layercake-worker", kListTimeout));
    cluster.devices = UsableGpus(
        list, [](const std::string& line) { std::cerr << "layercake: " << line << std::endl; });
    return absl::OkStatus();
  }

  absl::Status Start() {
    LC_RETURN_IF_ERROR(WorkerSpecs(flags_.cluster, "").status());
    // A broken model is better known before anything starts.
    LC_ASSIGN_OR_RETURN(const auto checkpoint, Checkpoint::Open(flags_.request.model_dir()));
    LC_RETURN_IF_ERROR(checkpoint->Validate());
    LC_RETURN_IF_ERROR(ChooseDevices());
    LC_RETURN_IF_ERROR(WorkerSpecs(flags_.cluster, "").status());
    if (scratch_.path().empty()) {
      return absl::InternalError("cannot make a temporary directory; is TMPDIR writable?");
    }
    return supervisor_.Start(CoordinatorSpec(flags_.cluster), Supervisor::Role::kEssential);
  }

  // Once the coordinator says which port it got, starts the workers and the load; false before.
  absl::StatusOr<bool> StartWorkers() {
    std::ifstream file(flags_.cluster.port_file);
    std::string text;
    int port = 0;
    if (!std::getline(file, text) || !absl::SimpleAtoi(text, &port)) return false;
    address_ = LocalAddress(flags_.cluster.listen, port);
    LC_ASSIGN_OR_RETURN(const std::vector<ChildSpec> specs, WorkerSpecs(flags_.cluster, address_));
    for (const ChildSpec& spec : specs) {
      LC_RETURN_IF_ERROR(supervisor_.Start(spec, Supervisor::Role::kRestartable));
    }
    loader_ =
        std::make_unique<ClusterLoader>(address_, static_cast<int>(specs.size()), flags_.request,
                                        IsTerminal(STDERR_FILENO) ? &std::cerr : nullptr);
    return true;
  }

  ServeFlags flags_;
  ScratchDirectory scratch_;
  Supervisor supervisor_;
  std::string address_;
  std::unique_ptr<ClusterLoader> loader_;
};

int Serve(ServeFlags flags) {
  // Before any thread starts, so that all leave these signals to this one.
  const sigset_t signals = ServeSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // A log that nobody reads any more is no reason to stop serving.
  signal(SIGPIPE, SIG_IGN);
  flags.request.set_model_dir(ModelPath(flags.request.model_dir()));
  flags.cluster.program_dir = ProgramDirectory();
  flags.cluster.num_cores = NumCores();
  return Service(flags).Run();
}

}  // namespace

Command AddServeCommand(CLI::App& app, const CommonFlags& /*common*/) {
  auto flags = std::make_shared<ServeFlags>();
  LocalClusterOptions& cluster = flags->cluster;
  CLI::App* serve = app.add_subcommand(
      "serve", "Serve a model on this host: a coordinator and one worker per device");
  serve->add_option("model", *flags->request.mutable_model_dir(), "Hugging Face model directory")
      ->type_name("MODEL_DIR")
      ->required();
  serve->add_option("--model-name", *flags->request.mutable_name(),
                    "what clients call it (default: the directory's name)");
  serve->add_option("--listen", cluster.listen, "host:port for clients and workers")
      ->capture_default_str();
  CLI::Option* cpu_workers =
      serve
          ->add_option("--cpu-workers", cluster.cpu_workers,
                       "CPU workers to start, and no others (default: a worker per GPU, or 1)")
          ->check(CLI::Range(1, 1024));
  serve
      ->add_option("--devices", cluster.devices,
                   "a worker for each of these, as in cuda:0,cuda:1,cpu; see layercake-worker "
                   "--list-devices")
      ->delimiter(',')
      ->type_name("DEVICE,...")
      ->excludes(cpu_workers);
  serve
      ->add_option("--transport", cluster.transport,
                   "what activations go over: auto (NCCL where both ends can), nccl or grpc")
      ->check(CLI::IsMember({"auto", "nccl", "grpc"}));
  serve
      ->add_option("--memory", cluster.memory,
                   "what each worker may use, as in 3GiB,1GiB; one value is for all")
      ->delimiter(',')
      ->type_name("SIZE,...");
  serve
      ->add_option("--threads", cluster.threads,
                   "threads of each worker, as in 3,1 (default: the cores divided)")
      ->delimiter(',')
      ->type_name("N,...");
  serve->add_option("--max-queue", cluster.max_queue, "completions that may wait; more are refused")
      ->check(CLI::Range(1, 1'000'000));
  AddPlanFlags(*serve, flags->request.mutable_options());
  const CLI::Option* log_level = app.get_option("--log-level");
  return {.app = serve, .run = [flags, log_level] {
            if (log_level->count() > 0) flags->cluster.log_level = log_level->results().front();
            return Serve(*flags);
          }};
}

}  // namespace layercake
