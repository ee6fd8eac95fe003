#include "worker/profile/cpu_allowance.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace layercake {
namespace {

// The number at the start of a file; 0 where there is none ("max" is none).
double FirstNumber(std::ifstream file) {
  double number = 0;
  return file >> number ? number : 0;
}

struct Quota {
  double micros = 0;  // of processor time in each period; 0: no limit
  double period_micros = 0;
};

Quota QuotaOf(const std::string& directory) {
  Quota quota;
  std::ifstream both(directory + "/cpu.max");
  if (!(both >> quota.micros >> quota.period_micros)) {
    quota = {FirstNumber(std::ifstream(directory + "/cpu.cfs_quota_us")),
             FirstNumber(std::ifstream(directory + "/cpu.cfs_period_us"))};
  }
  return quota.micros > 0 && quota.period_micros > 0 ? quota : Quota();
}

// Of the process's control group; none where it has none.
Quota QuotaOfProcess() {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    for (const std::string& controller : controllers) {
      const bool unified = controller.empty();
      if (!unified && controller != "cpu") continue;
      const Quota quota = QuotaOf(absl::StrCat("/sys/fs/cgroup", unified ? "" : "/cpu", parts[2]));
      if (quota.micros > 0) return quota;
    }
  }
  return {};
}

}  // namespace

CpuAllowance CpuAllowance::Current() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  const int cores = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 0;
  CpuAllowance allowance = {.cores = cores};
  if (const Quota quota = QuotaOfProcess(); quota.micros > 0) {
    allowance.quota = quota.micros / quota.period_micros;
    allowance.period_seconds = quota.period_micros / 1e6;
  }
  return allowance;
}

std::string CpuAllowance::Text() const {
  return absl::StrCat(cores, " cores",
                      quota > 0 ? absl::StrFormat(", at most %.3g of one", quota) : "");
}

double CpuAllowance::ShareOf(int threads) const {
  return quota > 0 ? std::min(1.0, quota / threads) : 1;
}

}  // namespace layercake
