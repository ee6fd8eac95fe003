#include "worker/profile/profile.h"

#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/rpc/protocol.h"
#include "worker/device/cublas_lt.h"
#include "worker/device/cuda_device.h"
#include "worker/profile/cpu_allowance.h"
#include "worker/profile/measure.h"

namespace layercake {
namespace {

using nlohmann::json;

// Held while one process looks into the cache and perhaps measures.
class FileLock {
 public:
  // Goes on without it after `longest_wait`: whoever holds it may hang on its device.
  FileLock(const std::string& path, absl::Duration longest_wait)
      : file_(std::make_shared<File>(path)) {
    if (file_->descriptor < 0 || flock(file_->descriptor, LOCK_EX | LOCK_NB) == 0 ||
        errno != EWOULDBLOCK) {
      return;
    }
    LOG(INFO) << "another process measures its device; waiting for it to release " << path;
    // A lock is waited for without an end: by a thread that may be left behind, with the file.
    std::promise<void> taken;
    const std::future<void> wait = taken.get_future();
    std::thread([file = file_, taken = std::move(taken)]() mutable {
      flock(file->descriptor, LOCK_EX);
      file.reset();
      taken.set_value();
    }).detach();
    if (wait.wait_for(absl::ToChronoMilliseconds(longest_wait)) == std::future_status::ready)
      return;
    LOG(WARNING) << "another process has held " << path << " for "
                 << absl::FormatDuration(longest_wait)
                 << " and may hang; going on beside it, so that speeds may come out low";
    file_.reset();
  }

 private:
  struct File {
    explicit File(const std::string& path)
        : descriptor(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {}
    ~File() {
      if (descriptor >= 0) close(descriptor);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    const int descriptor;
  };

  std::shared_ptr<const File>
      file_;  // shared with the thread that waits; closing it releases the lock
};

bool IsSpeed(double value) { return std::isfinite(value) && value > 0; }

std::optional<v1::DeviceProfile> ParseGiven(absl::string_view mode) {
  const std::vector<std::string> parts = absl::StrSplit(mode, ',');
  double bandwidth = 0, flops = 0;
  if (parts.size() != 2 || !absl::SimpleAtod(parts[0], &bandwidth) ||
      !absl::SimpleAtod(parts[1], &flops) || !IsSpeed(bandwidth) || !IsSpeed(flops)) {
    return std::nullopt;
  }
  v1::DeviceProfile profile;
  profile.set_bandwidth_bytes_per_second(bandwidth);
  profile.set_flops_per_second(flops);
  return profile;
}

// Another one when profiles say more than they did, or say it more truly.
constexpr char kFigures[] = "figures 8";

std::string CacheKey(Device& device) {
  const CublasLt* const cublas =
      device.kind() == DeviceKind::kCuda ? AsCuda(device).cublas_lt() : nullptr;
  const std::string products =
      cublas == nullptr ? "" : absl::StrCat(", cuBLASLt ", cublas->version());
  return absl::StrCat(device.name(), products, ", ", device.num_threads(), " threads, ",
                      CpuAllowance::Current().Text(), ", ", kVersion, ", ", kFigures);
}

// An empty object if there is no cache that can be read.
json ReadCache(const std::string& path) {
  std::ifstream file(path);
  json cache = json::parse(file, /*cb=*/nullptr, /*allow_exceptions=*/false);
  return cache.is_object() ? cache : json::object();
}

// Whether it tells of about as much memory as could be measured now: the products of a worker that
// had little all came from caches.
bool KnowsMemory(const v1::DeviceProfile& profile, const MeasureLimits& limits) {
  uint64_t largest = 0;
  for (const v1::StreamRate& rate : profile.weights()) {
    largest = std::max(largest, uint64_t{rate.working_set_bytes()});
  }
  return 2 * largest >= static_cast<uint64_t>(std::min(limits.max_bytes, kLargestWorkingSet));
}

std::optional<v1::DeviceProfile> FindCached(const json& cache, const std::string& key,
                                            const MeasureLimits& limits) {
  const auto entry = cache.find(key);
  v1::DeviceProfile profile;
  if (entry == cache.end() ||
      !google::protobuf::util::JsonStringToMessage(entry->dump(), &profile).ok() ||
      !IsSpeed(profile.bandwidth_bytes_per_second()) || !IsSpeed(profile.flops_per_second()) ||
      profile.weights().empty() || profile.kv().empty() || !KnowsMemory(profile, limits)) {
    return std::nullopt;
  }
  return profile;
}

json ToJson(const v1::DeviceProfile& profile) {
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(profile, &text).ok()) return nullptr;
  return json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
}

void WriteCache(const std::string& path, const json& cache) {
  const std::string part = absl::StrCat(path, ".", getpid());
  std::error_code error;
  {
    std::ofstream file(part);
    file << cache.dump(/*indent=*/2, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace)
         << "\n";
  }
  std::filesystem::rename(part, path, error);
  if (error)
    LOG(WARNING) << "cannot keep the device's profile in " << path << ": " << error.message();
}

}  // namespace

std::string DefaultProfileCachePath() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty()) {
    return cache + "/layercake/profile.json";
  }
  const std::string home = variable("HOME");
  return home.empty() ? "" : home + "/.cache/layercake/profile.json";
}

absl::StatusOr<v1::DeviceProfile> GetProfile(absl::string_view mode, Device& device,
                                             const MeasureLimits& limits,
                                             const std::string& cache_path) {
  if (const auto given = ParseGiven(mode)) return *given;
  if (mode != "measure" && mode != "cached") {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", mode,
                     "\" is no profile; write measure, cached, or BANDWIDTH,FLOPS as in "
                     "19.6e9,200e9 (bytes and operations a second)"));
  }
  if (cache_path.empty()) return MeasureProfile(device, limits);
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(cache_path).parent_path(), ignored);
  const FileLock lock(cache_path + ".lock", limits.longest_wait);
  const std::string key = CacheKey(device);
  json cache = ReadCache(cache_path);
  if (mode == "cached") {
    if (const auto cached = FindCached(cache, key, limits)) return *cached;
  }
  LOG(INFO) << "measuring " << device.name() << ", which takes some seconds";
  LC_ASSIGN_OR_RETURN(const v1::DeviceProfile profile, MeasureProfile(device, limits));
  cache[key] = ToJson(profile);
  WriteCache(cache_path, cache);
  return profile;
}

}  // namespace layercake
