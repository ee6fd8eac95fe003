#include "coordinator/cli/local_cluster.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

absl::StatusOr<int> CountWorkers(const LocalClusterOptions& options) {
  int count = options.cpu_workers;
  const auto agree = [&count](absl::string_view flag, size_t length) -> absl::Status {
    if (length <= 1) return absl::OkStatus();
    if (count == 0) count = static_cast<int>(length);
    if (count == static_cast<int>(length)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(flag, " lists ", length, " values for ", count,
                                                   " workers; give one each, or one for all"));
  };
  LC_RETURN_IF_ERROR(agree("--memory", options.memory.size()));
  LC_RETURN_IF_ERROR(agree("--threads", options.threads.size()));
  return std::max(count, 1);
}

template <typename Value>
const Value& OfWorker(const std::vector<Value>& values, int index) {
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
  LC_ASSIGN_OR_RETURN(const int count, CountWorkers(options));
  std::vector<ChildSpec> specs;
  for (int i = 0; i < count; ++i) {
    const std::string name = absl::StrCat("cpu-", i);
    const int share = options.num_cores / count + (i < options.num_cores % count ? 1 : 0);
    const int threads = options.threads.empty() ? std::max(1, share) : OfWorker(options.threads, i);
    if (threads < 1) {
      return absl::InvalidArgumentError(absl::StrCat("--threads ", threads, " is too few"));
    }
    ChildSpec spec{.name = absl::StrCat("worker ", name),
                   .argv = {options.program_dir + "/layercake-worker", "--coordinator", coordinator,
                            "--name", name, "--listen", "127.0.0.1:0", "--device", "cpu",
                            "--threads", absl::StrCat(threads), "--log-level", options.log_level}};
    if (!options.memory.empty()) {
      const std::string& memory = OfWorker(options.memory, i);
      const absl::StatusOr<int64_t> bytes = ParseBytes(memory);
      if (!bytes.ok()) {
        return absl::InvalidArgumentError(absl::StrCat("--memory: ", bytes.status().message()));
      }
      spec.argv.insert(spec.argv.end(), {"--memory", memory});
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

std::string LocalAddress(const std::string& listen, int port) {
  std::string host = listen.substr(0, listen.rfind(':'));
  if (host == "0.0.0.0" || host == "*" || host.empty()) host = "127.0.0.1";
  if (host == "[::]") host = "[::1]";
  return absl::StrCat(host, ":", port);
}

}  // namespace layercake
