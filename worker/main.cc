// layercake-worker: holds one stage of a model on one device, for a coordinator.

#include <google/protobuf/util/json_util.h>
#include <grpcpp/server.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <iostream>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/logging.h"
#include "common/options/options.h"
#include "common/rpc/channel.h"
#include "common/rpc/duration.h"
#include "common/rpc/protocol.h"
#include "worker/device/cuda_device.h"
#include "worker/device_choice.h"
#include "worker/profile/profile.h"
#include "worker/service/join_client.h"
#include "worker/service/stage_host.h"
#include "worker/service/stage_service.h"
#include "worker/worker_flags.h"

namespace layercake {
namespace {

// SIGINT and SIGTERM as a file descriptor; blocked in every thread started afterwards.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    PCHECK(sigprocmask(SIG_BLOCK, &signals_, nullptr) == 0);
    signal_fd_ = signalfd(-1, &signals_, SFD_CLOEXEC);
    event_fd_ = eventfd(0, EFD_CLOEXEC);
    PCHECK(signal_fd_ >= 0 && event_fd_ >= 0);
  }

  // Waits for a signal, or for Wake. A second signal then kills, should stopping take too long.
  void Wait() {
    pollfd fds[] = {{signal_fd_, POLLIN, 0}, {event_fd_, POLLIN, 0}};
    while (poll(fds, 2, -1) < 0) PCHECK(errno == EINTR);
    signalfd_siginfo info;
    if (fds[0].revents != 0) PCHECK(read(signal_fd_, &info, sizeof(info)) == sizeof(info));
    PCHECK(sigprocmask(SIG_UNBLOCK, &signals_, nullptr) == 0);
  }
  void Wake() { PCHECK(eventfd_write(event_fd_, 1) == 0); }
  // Readable where a signal has come.
  int fd() const { return signal_fd_; }

 private:
  sigset_t signals_;
  int signal_fd_;
  int event_fd_;
};

// As long as it lives a signal ends the process at once: nobody needs it yet, and what it waits for
// may be a device that hangs.
class EndAtSignal {
 public:
  explicit EndAtSignal(const StopSignals& signals)
      : over_fd_(eventfd(0, EFD_CLOEXEC)), thread_([this, signal_fd = signals.fd()] {
          pollfd fds[] = {{signal_fd, POLLIN, 0}, {over_fd_, POLLIN, 0}};
          while (poll(fds, 2, -1) < 0) PCHECK(errno == EINTR);
          if (fds[0].revents != 0) _exit(kExitOk);
        }) {}
  ~EndAtSignal() {
    PCHECK(eventfd_write(over_fd_, 1) == 0);
    thread_.join();
    close(over_fd_);
  }
  EndAtSignal(const EndAtSignal&) = delete;
  EndAtSignal& operator=(const EndAtSignal&) = delete;

 private:
  const int over_fd_;
  std::thread thread_;
};

int Fail(const absl::Status& status, int code) {
  std::cerr << "layercake-worker: " << status.message() << std::endl;
  return code;
}

v1::Heartbeat MakeHeartbeat(const StageHost& host) {
  const StageStats stats = host.Stats();
  v1::Heartbeat heartbeat;
  heartbeat.set_free_bytes(stats.free_bytes);
  heartbeat.set_stage_bytes(stats.stage_bytes);
  heartbeat.set_steps(stats.num_steps);
  if (stats.step_running) *heartbeat.mutable_step_running() = ToProto(*stats.step_running);
  heartbeat.set_failure(std::string(stats.device.message()));
  return heartbeat;
}

// What does not change between one join and the next.
v1::Hello MakeHello(const WorkerFlags& flags, const v1::Device& device,
                    const v1::DeviceProfile& profile, const std::string& name,
                    const std::string& address) {
  v1::Hello hello;
  hello.set_protocol_version(kProtocolVersion);
  hello.set_version(kVersion);
  hello.set_host(HostName());
  hello.set_name(name);
  hello.set_address(address);
  *hello.mutable_device() = device;
  hello.mutable_device()->set_cap_bytes(flags.memory_bytes);
  *hello.mutable_profile() = profile;
  return hello;
}

NcclEnd MakeNcclEnd(const ChosenDevice& chosen) {
  NcclEnd end;
  end.device_uuid = chosen.description.uuid();
  if (chosen.device->kind() == DeviceKind::kCpu) {
    end.functions = absl::FailedPreconditionError("its device is a CPU");
  } else {
    end.functions = LoadNccl();
  }
  return end;
}

int Serve(const WorkerFlags& flags, const ChosenDevice& chosen, const v1::DeviceProfile& profile,
          StopSignals& signals) {
  Device& device = *chosen.device;
  const std::string name =
      flags.name.empty() ? absl::StrCat(HostName(), "-", chosen.short_name) : flags.name;
  StageHost host({name, flags.model_root, flags.memory_bytes, flags.transport, MakeNcclEnd(chosen)},
                 device, *Clock::Real());
  ProbePermit permit;
  StageService service(host, permit);
  grpc::ServerBuilder builder;
  ConfigureServer(builder);
  builder.RegisterService(&service);
  int port = 0;
  auto server = StartServer(builder, flags.listen, &port);
  if (!server.ok()) {
    return Fail(server.status(), absl::IsUnavailable(server.status()) ? kExitAddress : kExitUsage);
  }
  const v1::Hello hello =
      MakeHello(flags, chosen.description, profile, name, AdvertisedAddress(flags, port));
  const auto current_hello = [&] {
    const StageStats stats = host.Stats();
    v1::Hello now = hello;
    now.mutable_device()->set_free_bytes(stats.free_bytes + stats.stage_bytes);
    now.set_epoch(stats.last_epoch);
    return now;
  };
  LOG(INFO) << "worker " << name << " listens on " << hello.address() << ": " << device.name()
            << (device.kind() == DeviceKind::kCpu
                    ? absl::StrCat(", ", device.num_threads(), " threads")
                    : "")
            << ", " << FormatBytes(host.Stats().free_bytes) << " free";
  JoinClient client({.coordinator = flags.coordinator},
                    {current_hello, [&] { return MakeHeartbeat(host); },
                     [&](const v1::Welcome& welcome) { permit.SetKey(welcome.probe_key()); }});
  absl::Status joined;
  std::thread join_thread([&] {
    joined = client.Run();
    signals.Wake();
  });
  signals.Wait();
  client.Stop();
  join_thread.join();
  host.Stop();
  // Time for the last statuses to leave; peers that keep their calls open are cut off.
  (*server)->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(250));
  if (joined.ok()) return kExitOk;
  return Fail(joined, device.status().ok() ? kExitRefused : kExitDeviceLost);
}

int PrintDevices(const WorkerFlags& flags) {
  const v1::DeviceList list = ListDevices(CudaRuntime::Real());
  if (flags.output != "json") {
    std::cout << FormatDeviceTable(list) << std::flush;
    return kExitOk;
  }
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  CHECK(google::protobuf::util::MessageToJsonString(list, &json, options).ok());
  std::cout << json << std::flush;
  return kExitOk;
}

int Main(int argc, char** argv) {
  InitLogging(argv[0]);
  WorkerFlags flags;
  const auto app = MakeApp("layercake-worker", "Holds one stage of a model on one device.");
  AddWorkerFlags(*app, &flags);
  if (const auto code = ParseCommandLine(*app, argc, argv)) return *code;
  if (flags.exit_with_parent) {
    const pid_t parent = getppid();
    PCHECK(prctl(PR_SET_PDEATHSIG, SIGTERM) == 0);
    if (getppid() != parent) return kExitOk;
  }
  if (flags.list_devices) return PrintDevices(flags);
  if (flags.coordinator.empty()) {
    return Fail(absl::InvalidArgumentError("--coordinator is required"), kExitUsage);
  }
  StopSignals signals;
  std::optional<EndAtSignal> end_at_signal(std::in_place, signals);
  auto chosen = OpenDevice(flags.device, flags.num_threads, CudaRuntime::Real(), flags.share_card);
  if (!chosen.ok()) return Fail(chosen.status(), DeviceExitCode(chosen.status()));
  if (flags.dense_products == "cublaslt") {
    const absl::Status used = UseCublasLt(*chosen);
    if (absl::IsFailedPrecondition(used)) return Fail(used, kExitUnsupported);
    if (!used.ok()) return Fail(used, DeviceExitCode(used));
  }
  Device& device = *chosen->device;
  int64_t usable_bytes = device.Memory().free_bytes;
  if (flags.memory_bytes > 0) usable_bytes = std::min(usable_bytes, flags.memory_bytes);
  if (device.kind() == DeviceKind::kCuda) {
    AsCuda(device).set_use_graphs(flags.cuda_graphs != "off");
    AsCuda(device).set_usable_bytes(usable_bytes);
  }
  const auto profile =
      GetProfile(flags.profile, device, {.max_bytes = usable_bytes / 2}, DefaultProfileCachePath());
  if (!profile.ok()) return Fail(profile.status(), DeviceExitCode(profile.status()));
  end_at_signal.reset();
  return Serve(flags, *chosen, *profile, signals);
}

}  // namespace
}  // namespace layercake

int main(int argc, char** argv) { return layercake::Main(argc, argv); }
