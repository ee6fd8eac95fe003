#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/bytes.h"
#include "common/base/status_macros.h"
#include "common/model/costs.h"
#include "worker/device/device.h"

namespace layercake {
namespace {

constexpr int64_t kPageBytes = 4096;
constexpr int64_t kHugePageBytes = int64_t{2} << 20;
constexpr int kMaxThreads = 1024;

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// The text after "key:" in a /proc file, without its leading spaces; empty if there is none.
std::string ProcValue(const std::string& path, absl::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    absl::string_view rest = line;
    if (!absl::ConsumePrefix(&rest, key)) continue;
    rest = absl::StripLeadingAsciiWhitespace(rest);
    if (absl::ConsumePrefix(&rest, ":")) return std::string(absl::StripAsciiWhitespace(rest));
  }
  return "";
}

int64_t MemInfoBytes(absl::string_view key) {
  const std::string value = ProcValue("/proc/meminfo", key);
  int64_t kib = 0;
  if (!absl::SimpleAtoi(value.substr(0, value.find(' ')), &kib)) return 0;
  return kib * 1024;
}

// A cgroup file's number; -1 where there is none, or no limit.
int64_t CgroupNumber(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  int64_t number = 0;
  if (!(file >> text) || !absl::SimpleAtoi(text, &number)) return -1;
  return number;
}

// Narrows `memory` to the limits of this process's cgroup (version 2) and of those around it.
// Page cache counts as used there though it can go; it is added back.
void ApplyCgroupLimits(DeviceMemory& memory) {
  std::string group = ProcValue("/proc/self/cgroup", "0:");
  while (true) {
    const std::string directory = absl::StrCat("/sys/fs/cgroup", group == "/" ? "" : group);
    const int64_t limit = CgroupNumber(directory + "/memory.max");
    const int64_t used = CgroupNumber(directory + "/memory.current");
    if (limit >= 0 && used >= 0) {
      std::ifstream stat(directory + "/memory.stat");
      int64_t cache = 0;
      std::string key;
      for (int64_t value; stat >> key >> value;) {
        if (key == "inactive_file" || key == "active_file") cache += value;
      }
      memory.total_bytes = std::min(memory.total_bytes, limit);
      memory.free_bytes = std::min(memory.free_bytes, std::max<int64_t>(0, limit - used + cache));
    }
    if (group.empty() || group == "/") return;
    group.resize(group.rfind('/'));
  }
}

void Unmap(void* data, int64_t bytes, int) { munmap(data, RoundUp(bytes, kPageBytes)); }

class CpuHostCopy final : public HostCopy {
 public:
  explicit CpuHostCopy(Buffer buffer)
      : HostCopy(buffer.data(), buffer.data(), buffer.bytes()), buffer_(std::move(buffer)) {}

  void BeginToHost(int64_t bytes) override { CHECK_LE(bytes, this->bytes()); }
  void BeginToDevice(int64_t bytes) override { CHECK_LE(bytes, this->bytes()); }
  absl::Status Wait() override { return absl::OkStatus(); }
  void Use(absl::FunctionRef<void()> issue) override { issue(); }

 private:
  const Buffer buffer_;
};

class CpuDevice final : public Device {
 public:
  CpuDevice(std::string name, CpuIsa isa, int num_threads)
      : Device(DeviceKind::kCpu, std::move(name), isa, num_threads) {}

  DeviceMemory Memory() const override;
  absl::StatusOr<Buffer> Allocate(int64_t bytes, absl::string_view purpose) override;
  absl::StatusOr<Buffer> AllocateHost(int64_t bytes, absl::string_view purpose) override {
    return Allocate(bytes, purpose);
  }
  absl::StatusOr<std::unique_ptr<HostCopy>> CreateHostCopy(int64_t bytes,
                                                           absl::string_view purpose) override {
    LC_ASSIGN_OR_RETURN(Buffer buffer, Allocate(bytes, purpose));
    return std::make_unique<CpuHostCopy>(std::move(buffer));
  }
  absl::Status CopyFromHost(const TensorView& to, const void* from, int64_t bytes) override;
  absl::Status CopyToHost(void* to, const TensorView& from, int64_t bytes) override;
  absl::Status Finish() override { return absl::OkStatus(); }
  absl::Status status() const override { return absl::OkStatus(); }
};

DeviceMemory CpuDevice::Memory() const {
  DeviceMemory memory{MemInfoBytes("MemTotal"), MemInfoBytes("MemAvailable")};
  ApplyCgroupLimits(memory);
  return memory;
}

absl::StatusOr<Buffer> CpuDevice::Allocate(int64_t bytes, absl::string_view purpose) {
  CHECK_GT(bytes, 0) << purpose;
  bytes = RoundUp(bytes, kAllocationBytes);
  const int64_t free_bytes = Memory().free_bytes;
  void* data = MAP_FAILED;
  if (bytes <= free_bytes) {
    data = mmap(nullptr, RoundUp(bytes, kPageBytes), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat(name(), " cannot give ", FormatBytes(bytes),
                                                     " for ", purpose, ": ",
                                                     FormatBytes(free_bytes), " free"));
  }
  if (bytes >= kHugePageBytes) madvise(data, bytes, MADV_HUGEPAGE);
  char* first = static_cast<char*>(data);
  pool().ParallelFor(RoundUp(bytes, kHugePageBytes) / kHugePageBytes, 1,
                     [&](int64_t begin, int64_t end) {
                       const int64_t last = std::min(end * kHugePageBytes, bytes);
                       for (int64_t i = begin * kHugePageBytes; i < last; i += kPageBytes) {
                         static_cast<volatile char*>(first)[i] = 0;
                       }
                     });
  return Buffer(data, bytes, &Unmap);
}

absl::Status CpuDevice::CopyFromHost(const TensorView& to, const void* from, int64_t bytes) {
  const int64_t row_bytes = to.cols * DTypeBytes(to.dtype);
  CHECK_EQ(bytes, to.rows * row_bytes);
  for (int64_t row = 0; row < to.rows; ++row) {
    std::memcpy(static_cast<char*>(to.data) + row * to.stride * DTypeBytes(to.dtype),
                static_cast<const char*>(from) + row * row_bytes, row_bytes);
  }
  return absl::OkStatus();
}

absl::Status CpuDevice::CopyToHost(void* to, const TensorView& from, int64_t bytes) {
  const int64_t row_bytes = from.cols * DTypeBytes(from.dtype);
  CHECK_EQ(bytes, from.rows * row_bytes);
  for (int64_t row = 0; row < from.rows; ++row) {
    std::memcpy(static_cast<char*>(to) + row * row_bytes,
                static_cast<const char*>(from.data) + row * from.stride * DTypeBytes(from.dtype),
                row_bytes);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int> ResolveThreads(int num_threads) {
  if (num_threads < 0 || num_threads > kMaxThreads) {
    return absl::InvalidArgumentError(absl::StrCat("cannot compute with ", num_threads,
                                                   " threads; give 1 to ", kMaxThreads,
                                                   ", or 0 for one per core"));
  }
  if (num_threads > 0) return num_threads;
  return std::clamp<int>(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxThreads);
}

absl::StatusOr<std::unique_ptr<Device>> Device::CreateCpu(int num_threads, CpuIsa isa) {
  LC_ASSIGN_OR_RETURN(num_threads, ResolveThreads(num_threads));
  if (isa > BestCpuIsa()) {
    return absl::InvalidArgumentError(absl::StrCat("this processor does not run ", CpuIsaName(isa),
                                                   " code; its best is ",
                                                   CpuIsaName(BestCpuIsa())));
  }
  std::string name = ProcValue("/proc/cpuinfo", "model name");
  if (name.empty()) name = "CPU";
  return std::make_unique<CpuDevice>(std::move(name), isa, num_threads);
}

}  // namespace layercake
