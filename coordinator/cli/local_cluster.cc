#include "coordinator/cli/local_cluster.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/bytes.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

// The device of each worker.
absl::StatusOr<std::vector<std::string>> WorkerDevices(const LocalClusterOptions& options) {
  int count =
      options.devices.empty() ? options.cpu_workers : static_cast<int>(options.devices.size());
  const auto agree = [&count](absl::string_view flag, size_t length) -> absl::Status {
    if (length <= 1) return absl::OkStatus();
    if (count == 0) count = static_cast<int>(length);
    if (count == static_cast<int>(length)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(flag, " lists ", length, " values for ", count,
                                                   " workers; give one each, or one for all"));
  };
  LC_RETURN_IF_ERROR(agree("--memory", options.memory.size()));
  LC_RETURN_IF_ERROR(agree("--threads", options.threads.size()));
  if (!options.devices.empty()) return options.devices;
  return std::vector<std::string>(std::max(count, 1), "cpu");
}

// "cuda-0" for "cuda:0"; CPU workers are counted, a card must not come twice.
absl::StatusOr<std::vector<std::string>> WorkerNames(const std::vector<std::string>& devices) {
  std::vector<std::string> names;
  int num_cpus = 0;
  for (const std::string& device : devices) {
    std::string name = device == "cpu" ? absl::StrCat("cpu-", num_cpus++)
                                       : absl::StrReplaceAll(device, {{":", "-"}});
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--devices names ", device, " twice; a card has one worker"));
    }
    names.push_back(std::move(name));
  }
  return names;
}

template <typename Value>
const Value& OfWorker(const std::vector<Value>& values, size_t index) {
  return values.size() == 1 ? values[0] : values[index];
}

}  // namespace

ChildSpec CoordinatorSpec(const LocalClusterOptions& options) {
  ChildSpec spec{
      .name = "the coordinator",
      .argv = {options.program_dir + "/layercake-coordinator", "--listen", options.listen,
               "--port-file", options.port_file, "--log-level", options.log_level}};
  if (options.max_queue > 0) {
    spec.argv.insert(spec.argv.end(), {"--max-queue", absl::StrCat(options.max_queue)});
  }
  return spec;
}

absl::StatusOr<std::vector<ChildSpec>> WorkerSpecs(const LocalClusterOptions& options,
                                                   const std::string& coordinator) {
  LC_ASSIGN_OR_RETURN(const std::vector<std::string> devices, WorkerDevices(options));
  LC_ASSIGN_OR_RETURN(const std::vector<std::string> names, WorkerNames(devices));
  // Where there are CPU workers they compute with all cores, and what others do on the host takes
  // one thread.
  const auto num_cpus = static_cast<int>(std::count(devices.begin(), devices.end(), "cpu"));
  const int sharers = num_cpus > 0 ? num_cpus : static_cast<int>(devices.size());
  int sharers_before = 0;
  std::vector<ChildSpec> specs;
  for (size_t i = 0; i < devices.size(); ++i) {
    int threads = 1;
    if (devices[i] == "cpu" || num_cpus == 0) {
      const int rest = sharers_before++ < options.num_cores % sharers ? 1 : 0;
      threads = std::max(1, options.num_cores / sharers + rest);
    }
    if (!options.threads.empty()) threads = OfWorker(options.threads, i);
    if (threads < 1) {
      return absl::InvalidArgumentError(absl::StrCat("--threads ", threads, " is too few"));
    }
    ChildSpec spec{.name = absl::StrCat("worker ", names[i]),
                   .argv = {options.program_dir + "/layercake-worker", "--coordinator", coordinator,
                            "--name", names[i], "--listen", "127.0.0.1:0", "--device", devices[i],
                            "--threads", absl::StrCat(threads), "--log-level", options.log_level}};
    if (!options.transport.empty()) {
      spec.argv.insert(spec.argv.end(), {"--transport", options.transport});
    }
    if (!options.memory.empty()) {
      const std::string& memory = OfWorker(options.memory, i);
      const absl::StatusOr<int64_t> bytes = ParseMemory(memory);
      if (!bytes.ok()) {
        return absl::InvalidArgumentError(absl::StrCat("--memory: ", bytes.status().message()));
      }
      spec.argv.insert(spec.argv.end(), {"--memory", memory});
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

std::vector<std::string> UsableGpus(const v1::DeviceList& list,
                                    const std::function<void(const std::string&)>& say) {
  std::vector<std::string> gpus;
  for (const v1::Device& device : list.devices()) {
    if (device.kind() == v1::DEVICE_KIND_CPU) continue;
    if (device.problem().empty()) {
      gpus.push_back(device.selector());
    } else {
      say(absl::StrCat(device.selector(), " is left out: ", device.problem()));
    }
  }
  return gpus;
}

std::string LocalAddress(const std::string& listen, int port) {
  std::string host = listen.substr(0, listen.rfind(':'));
  if (host == "0.0.0.0" || host == "*" || host.empty()) host = "127.0.0.1";
  if (host == "[::]") host = "[::1]";
  return absl::StrCat(host, ":", port);
}

}  // namespace layercake
