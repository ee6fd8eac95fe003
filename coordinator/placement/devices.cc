#include "coordinator/placement/devices.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/base/text_table.h"

namespace layercake {
namespace {

using Names = google::protobuf::RepeatedPtrField<std::string>;
using SizeMap = google::protobuf::Map<std::string, uint64_t>;  // by worker, "" for the others

// Digits compare as numbers.
bool NaturalLess(const std::string& a, const std::string& b) {
  size_t i = 0;
  size_t j = 0;
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      const auto number = [&digit](const std::string& text, size_t& at) {
        while (at < text.size() && text[at] == '0') ++at;
        const size_t begin = at;
        while (at < text.size() && digit(text[at])) ++at;
        return text.substr(begin, at - begin);
      };
      const std::string left = number(a, i);
      const std::string right = number(b, j);
      if (left.size() != right.size()) return left.size() < right.size();
      if (left != right) return left < right;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
    }
  }
  if (a.size() - i != b.size() - j) return a.size() - i < b.size() - j;
  return a < b;
}

absl::Status CheckNames(const std::set<std::string>& known, const Names& names,
                        absl::string_view flag) {
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (!known.contains(name)) {
      return absl::InvalidArgumentError(absl::StrCat(flag, " names \"", name,
                                                     "\", which is no worker here; there are ",
                                                     absl::StrJoin(known, ", ")));
    }
    if (!seen.insert(name).second) {
      return absl::InvalidArgumentError(absl::StrCat(flag, " names ", name, " twice"));
    }
  }
  return absl::OkStatus();
}

Names NamesIn(const SizeMap& sizes) {
  Names names;
  for (const auto& [name, bytes] : sizes) {
    if (!name.empty()) *names.Add() = name;
  }
  return names;
}

absl::Status CheckOptions(std::span<const PlannerDevice> devices, const v1::PlanOptions& options) {
  std::set<std::string> known;
  for (const PlannerDevice& device : devices) {
    if (!known.insert(device.name).second) {
      return absl::InvalidArgumentError(absl::StrCat("two workers are called ", device.name));
    }
  }
  LC_RETURN_IF_ERROR(CheckNames(known, options.order(), "--order"));
  LC_RETURN_IF_ERROR(CheckNames(known, options.exclude(), "--exclude"));
  for (const std::string& name : options.exclude()) {
    if (std::find(options.order().begin(), options.order().end(), name) != options.order().end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--order and --exclude both name ", name, "; drop it from one"));
    }
  }
  LC_RETURN_IF_ERROR(CheckNames(known, NamesIn(options.max_memory_bytes()), "--max-memory"));
  return CheckNames(known, NamesIn(options.reserve_bytes()), "--reserve");
}

// What `sizes` say of `worker`: its own entry, else that of every worker not named.
std::optional<uint64_t> SizeFor(const SizeMap& sizes, const std::string& worker) {
  auto size = sizes.find(worker);
  if (size == sizes.end()) size = sizes.find("");
  return size == sizes.end() ? std::nullopt : std::optional(size->second);
}

UsableDevice MakeUsable(const PlannerDevice& device, const v1::PlanOptions& options) {
  UsableDevice usable;
  usable.name = device.name;
  usable.speed = SpeedOf(device.device, device.profile);
  uint64_t cap = device.device.cap_bytes();
  const std::optional<uint64_t> asked = SizeFor(options.max_memory_bytes(), device.name);
  if (asked.has_value()) cap = cap == 0 ? *asked : std::min(cap, *asked);
  const uint64_t free = device.device.free_bytes();
  usable.available_bytes = static_cast<int64_t>(cap > 0 ? std::min(cap, free) : free);
  // A worker with a cap of its own reports no more than that as free.
  usable.may_fill = (cap > 0 && cap <= free) || device.device.kind() == v1::DEVICE_KIND_CUDA;
  return usable;
}

// Divides `left` bytes over `members`: small ones get all they ask for, the others equal parts of
// the rest. Returns what is left.
int64_t ShareOut(int64_t left, std::vector<size_t> members, std::vector<UsableDevice>& devices) {
  std::stable_sort(members.begin(), members.end(), [&devices](size_t a, size_t b) {
    return devices[a].available_bytes < devices[b].available_bytes;
  });
  for (size_t k = 0; k < members.size(); ++k) {
    UsableDevice& device = devices[members[k]];
    const int64_t share = left / static_cast<int64_t>(members.size() - k);
    device.available_bytes = std::min(device.available_bytes, share);
    left -= device.available_bytes;
  }
  return left;
}

// Free memory of the host as the least of what its workers report. A worker with a cap of its own
// reports no more than that, so where all have one, the host's total is all that is known.
int64_t HostFreeBytes(std::span<const PlannerDevice* const> sources,
                      const std::vector<size_t>& members) {
  constexpr uint64_t kUnknown = std::numeric_limits<int64_t>::max();
  uint64_t free = kUnknown;
  uint64_t total = 0;
  for (const size_t i : members) {
    const v1::Device& device = sources[i]->device;
    total = std::max<uint64_t>(total, device.total_bytes());
    if (device.cap_bytes() > 0 && device.free_bytes() <= device.cap_bytes()) continue;
    free = std::min<uint64_t>(free, device.free_bytes());
  }
  if (free == kUnknown && total > 0) free = std::min(total, kUnknown);
  return static_cast<int64_t>(free);
}

// CPU workers of one host have its memory in common. What operators granted comes first; workers
// without a cap divide the rest.
void ShareHostMemory(std::span<const PlannerDevice* const> sources,
                     std::vector<UsableDevice>& devices) {
  std::map<std::string, std::vector<size_t>> hosts;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (sources[i]->device.kind() == v1::DEVICE_KIND_CUDA || sources[i]->host.empty()) continue;
    hosts[sources[i]->host].push_back(i);
  }
  for (const auto& [host, members] : hosts) {
    std::vector<size_t> granted;
    std::vector<size_t> others;
    for (const size_t i : members) (devices[i].may_fill ? granted : others).push_back(i);
    ShareOut(ShareOut(HostFreeBytes(sources, members), granted, devices), others, devices);
  }
}

int64_t ReserveOf(const PlannerDevice& source, const UsableDevice& device,
                  const v1::PlanOptions& options) {
  if (const std::optional<uint64_t> asked = SizeFor(options.reserve_bytes(), device.name)) {
    return static_cast<int64_t>(std::min<uint64_t>(*asked, device.available_bytes));
  }
  return ReserveBytes(source.device.kind() == v1::DEVICE_KIND_CUDA, device.available_bytes);
}

absl::Status ApplySplit(const v1::PlanOptions& options, DeviceSelection& selection) {
  std::vector<UsableDevice>& devices = selection.devices;
  if (options.policy() != v1::PlanOptions::POLICY_PROPORTIONAL) {
    if (options.split_size() == 0) return absl::OkStatus();
    return absl::InvalidArgumentError("--split goes with --policy proportional only");
  }
  if (options.split_size() == 0) {
    for (UsableDevice& device : devices) device.share = static_cast<double>(device.usable_bytes());
    return absl::OkStatus();
  }
  if (options.split_size() != static_cast<int>(devices.size())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--split gives ", Counted(options.split_size(), "share"), " for ",
        Counted(static_cast<int64_t>(devices.size()), "worker"), " (",
        absl::StrJoin(devices, ", ",
                      [](std::string* out, const UsableDevice& device) { *out += device.name; }),
        "); give one each"));
  }
  double total = 0;
  for (size_t i = 0; i < devices.size(); ++i) {
    devices[i].share = options.split(static_cast<int>(i));
    if (!(devices[i].share >= 0) || devices[i].share > 1e30) {
      return absl::InvalidArgumentError(
          absl::StrCat("--split gives ", devices[i].name, " the share ", devices[i].share));
    }
    total += devices[i].share;
  }
  if (total == 0) return absl::InvalidArgumentError("--split gives no device anything");
  std::erase_if(devices, [&selection](const UsableDevice& device) {
    if (device.share > 0) return false;
    v1::ExcludedDevice& excluded = selection.excluded.emplace_back();
    excluded.set_worker(device.name);
    excluded.set_reason("its share in --split is 0");
    return true;
  });
  return absl::OkStatus();
}

// The devices that the options let take part, in order; the others go to `excluded`.
std::vector<const PlannerDevice*> Wanted(std::span<const PlannerDevice> devices,
                                         const v1::PlanOptions& options,
                                         std::vector<v1::ExcludedDevice>& excluded) {
  std::map<std::string, int> rank;
  for (const std::string& name : options.order()) rank.emplace(name, static_cast<int>(rank.size()));
  const std::set<std::string> refused(options.exclude().begin(), options.exclude().end());
  std::vector<const PlannerDevice*> wanted;
  for (const PlannerDevice& device : devices) {
    if (!refused.contains(device.name) && (rank.empty() || rank.contains(device.name))) {
      wanted.push_back(&device);
      continue;
    }
    v1::ExcludedDevice& left_out = excluded.emplace_back();
    left_out.set_worker(device.name);
    left_out.set_reason(refused.contains(device.name) ? "named in --exclude"
                                                      : "not named in --order");
  }
  std::sort(wanted.begin(), wanted.end(), [&rank](const PlannerDevice* a, const PlannerDevice* b) {
    return rank.empty() ? NaturalLess(a->name, b->name) : rank.at(a->name) < rank.at(b->name);
  });
  return wanted;
}

}  // namespace

std::vector<DeviceSpeed> CrowdedSpeeds(std::span<const PlannerDevice* const> devices) {
  struct Crowd {
    int workers = 0;
    double threads = 0;  // as many as their quotas keep busy
    int cores = 0;
  };
  const auto shares = [](const PlannerDevice& device) {
    return device.device.kind() != v1::DEVICE_KIND_CUDA && !device.host.empty();
  };
  std::map<std::string, Crowd> hosts;
  for (const PlannerDevice* device : devices) {
    if (!shares(*device)) continue;
    Crowd& crowd = hosts[device->host];
    ++crowd.workers;
    const double threads = std::max(1, device->device.threads());
    const double quota = device->device.cpu_quota();
    crowd.threads += quota > 0 ? std::min(threads, quota) : threads;
    crowd.cores = std::max(crowd.cores, device->device.cores());
  }
  std::vector<DeviceSpeed> speeds;
  for (const PlannerDevice* device : devices) {
    const Crowd crowd = shares(*device) ? hosts.at(device->host) : Crowd();
    if (crowd.workers < 2) {
      speeds.push_back(SpeedOf(device->device, device->profile));
    } else {
      const double cores = crowd.cores > 0 ? crowd.cores : crowd.threads;
      speeds.push_back(CrowdedSpeedOf(device->device, device->profile, crowd.threads / cores));
    }
  }
  return speeds;
}

absl::StatusOr<DeviceSelection> SelectDevices(const Fleet& fleet, const v1::PlanOptions& options) {
  const std::vector<PlannerDevice>& devices = fleet.devices;
  if (devices.empty()) {
    return absl::FailedPreconditionError(
        "no workers to plan for; start layercake-worker on each device with --coordinator");
  }
  LC_RETURN_IF_ERROR(CheckOptions(devices, options));
  DeviceSelection selection;
  std::vector<const PlannerDevice*> sources = Wanted(devices, options, selection.excluded);
  if (sources.empty()) {
    return absl::InvalidArgumentError("--exclude leaves no worker to plan for");
  }
  for (const PlannerDevice* source : sources) {
    selection.devices.push_back(MakeUsable(*source, options));
  }
  ShareHostMemory(sources, selection.devices);
  for (size_t i = 0; i < sources.size(); ++i) {
    selection.devices[i].reserve_bytes = ReserveOf(*sources[i], selection.devices[i], options);
  }
  LC_RETURN_IF_ERROR(ApplySplit(options, selection));
  if (sources.size() != selection.devices.size()) {
    std::erase_if(sources, [&selection](const PlannerDevice* source) {
      return std::none_of(selection.devices.begin(), selection.devices.end(),
                          [&](const UsableDevice& device) { return device.name == source->name; });
    });
  }
  const std::vector<DeviceSpeed> crowded = CrowdedSpeeds(sources);
  for (size_t i = 0; i < sources.size(); ++i) selection.devices[i].crowded_speed = crowded[i];
  LC_ASSIGN_OR_RETURN(selection.links, LinkMap::Of(fleet, sources));
  std::sort(selection.excluded.begin(), selection.excluded.end(),
            [](const auto& a, const auto& b) { return NaturalLess(a.worker(), b.worker()); });
  selection.in_order = !options.order().empty() || options.policy() != v1::PlanOptions::POLICY_AUTO;
  return selection;
}

}  // namespace layercake
