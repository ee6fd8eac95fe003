// layercake-coordinator: one per cluster. Workers join it, clients and operators call it.

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <signal.h>
#include <sys/prctl.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/logging.h"
#include "common/options/options.h"
#include "common/rpc/channel.h"
#include "coordinator/cluster/join_service.h"
#include "coordinator/cluster/link_book.h"
#include "coordinator/cluster/serving_controller.h"
#include "coordinator/options/plan_flags.h"
#include "coordinator/service/admin_service.h"
#include "coordinator/service/generation_loop.h"
#include "coordinator/service/inference_service.h"

namespace layercake {
namespace {

struct Flags {
  std::string listen = "127.0.0.1:50051";
  std::string port_file;
  v1::LoadModelRequest model;
  int min_workers = 1;
  int max_queue = 1024;
  double heartbeat_timeout_seconds = 2;
  double step_timeout_seconds = 60;
  bool exit_with_parent = false;
};

std::unique_ptr<CLI::App> MakeCommandLine(Flags& flags) {
  auto app = MakeApp("layercake-coordinator",
                     "Joins workers into a cluster and serves a model on them over gRPC.");
  app->add_option("--listen", flags.listen, "host:port to serve on; port 0 picks a free one")
      ->capture_default_str();
  app->add_option("--port-file", flags.port_file, "Write the port served on to this file");
  app->add_option("--model", *flags.model.mutable_model_dir(),
                  "Hugging Face model directory to load as soon as the workers are there");
  app->add_option("--model-name", *flags.model.mutable_name(),
                  "What clients call it; default: the directory's name");
  app->add_option("--min-workers", flags.min_workers,
                  "Workers to wait for before --model is loaded")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app->add_option("--max-queue", flags.max_queue, "Completions that may wait; more are refused")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app->add_option("--heartbeat-timeout", flags.heartbeat_timeout_seconds,
                  "Seconds without a heartbeat after which a worker is held for lost")
      ->check(CLI::Range(0.5, 3600.0))
      ->capture_default_str();
  app->add_option("--step-timeout", flags.step_timeout_seconds,
                  "Seconds that one step may compute before its worker is held for hung")
      ->check(CLI::Range(1.0, 86400.0))
      ->capture_default_str();
  app->add_flag("--exit-with-parent", flags.exit_with_parent, "Stop when the parent process ends");
  AddPlanFlags(*app, flags.model.mutable_options());
  return app;
}

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kUnimplemented:
      return kExitUnsupported;
    default:
      return kExitFailure;
  }
}

int Fail(const absl::Status& status, int code) {
  std::cerr << "layercake-coordinator: " << std::string(status.message()) << std::endl;
  return code;
}

// The reader must never see half a number.
absl::Status WritePortFile(const std::string& path, int port) {
  const std::string partial = path + ".partial";
  std::ofstream(partial) << port << "\n";
  std::error_code error;
  std::filesystem::rename(partial, path, error);
  if (!error) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("cannot write --port-file ", path, ": ", error.message()));
}

// What no stranger guesses.
std::string RandomKey() {
  std::random_device random;
  return absl::StrCat(absl::Hex(random(), absl::kZeroPad8), absl::Hex(random(), absl::kZeroPad8),
                      absl::Hex(random(), absl::kZeroPad8), absl::Hex(random(), absl::kZeroPad8));
}

// Everything a running coordinator is made of, in the order it must be taken down.
class Coordinator {
 public:
  // `stopping` must outlive it: once it is true no more is measured.
  Coordinator(const Flags& flags, const std::atomic<bool>& stopping)
      : probe_key_(RandomKey()),
        prober_(probe_key_),
        links_(prober_),
        registry_(Clock::Real(),
                  {.probe_key = probe_key_,
                   .heartbeat_timeout = absl::Seconds(flags.heartbeat_timeout_seconds),
                   .step_timeout = absl::Seconds(flags.step_timeout_seconds)}),
        loop_(Clock::Real(), flags.max_queue),
        controller_(registry_, loop_, Clock::Real(),
                    PlannerWithLinks(links_, registry_,
                                     [this, &stopping] { return !stopping && loop_.IsIdle(); })),
        join_service_(registry_),
        inference_service_(loop_),
        admin_service_(controller_, loop_, registry_, links_, Clock::Real()) {}

  absl::Status Start(const std::string& address, int* port) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    ConfigureServer(builder);
    builder.RegisterService(&join_service_);
    builder.RegisterService(&inference_service_);
    builder.RegisterService(&admin_service_);
    auto server = StartServer(builder, address, port);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    loop_.OnServingChange([health = server_->GetHealthCheckService()](bool serving) {
      health->SetServingStatus(serving);
      health->SetServingStatus("layercake.v1.Inference", serving);
    });
    return absl::OkStatus();
  }

  ServingController& controller() { return controller_; }

  // Ends all calls and joins; nothing is served after.
  void Stop() {
    join_service_.Stop();
    loop_.OnServingChange(nullptr);
    controller_.Stop();
    // A moment for the last statuses to reach their clients.
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  }

 private:
  const std::string probe_key_;
  GrpcLinkProber prober_;
  LinkBook links_;
  WorkerRegistry registry_;
  GenerationLoop loop_;
  ServingController controller_;
  JoinService join_service_;
  InferenceService inference_service_;
  AdminService admin_service_;
  std::unique_ptr<grpc::Server> server_;
};

int Main(int argc, char** argv) {
  Flags flags;
  const auto app = MakeCommandLine(flags);
  if (const auto code = ParseCommandLine(*app, argc, argv)) return *code;
  if (flags.exit_with_parent) prctl(PR_SET_PDEATHSIG, SIGTERM);

  // Signals are for sigwait below, in this thread and so in every thread it starts.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  std::atomic<bool> stopping = false;
  Coordinator coordinator(flags, stopping);
  int port = 0;
  if (const absl::Status status = coordinator.Start(flags.listen, &port); !status.ok()) {
    return Fail(status, absl::IsUnavailable(status) ? kExitAddress : ExitCodeOf(status));
  }
  LOG(INFO) << "listening on port " << port;

  if (!flags.port_file.empty()) {
    const absl::Status status = WritePortFile(flags.port_file, port);
    if (!status.ok()) return Fail(status, kExitFailure);
  }

  // A model that cannot be served ends the program: its supervisor shows why, and tries again.
  absl::Status load_status;
  std::thread load([&] {
    if (flags.model.model_dir().empty()) return;
    load_status = coordinator.controller().Load(flags.model, flags.min_workers, nullptr,
                                                [&] { return stopping.load(); });
    if (!load_status.ok()) kill(getpid(), SIGTERM);
  });

  int signal = 0;
  sigwait(&signals, &signal);
  stopping = true;
  load.join();
  coordinator.Stop();
  if (load_status.ok() || absl::IsCancelled(load_status)) return kExitOk;
  return Fail(load_status, ExitCodeOf(load_status));
}

}  // namespace
}  // namespace layercake

int main(int argc, char** argv) {
  layercake::InitLogging(argv[0]);
  return layercake::Main(argc, argv);
}
