#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/kernels/matmul.h"
#include "worker/kernels/packed_matrix.h"
#include "worker/profile/cpu_allowance.h"
#include "worker/profile/issued_time.h"
#include "worker/profile/measure.h"
#include "worker/profile/stopwatch.h"

namespace layercake {
namespace {

constexpr int64_t kInputs = 1024;
constexpr int64_t kMatrixBytes = int64_t{4} << 20;
constexpr std::array kRows = {1, 2, 4, 6, 8, 12, 16, 32, 64, 128, 256};
// Caches of several sizes, and none; what lies between is interpolated.
constexpr std::array<int64_t, 7> kWorkingSets = {
    int64_t{1} << 20,   int64_t{8} << 20,   int64_t{32} << 20, int64_t{64} << 20,
    int64_t{128} << 20, int64_t{256} << 20, kLargestWorkingSet};
// The summary figures are those of the format and sizes that most checkpoints have.
constexpr DType kSummaryFormat = DType::kBF16;
constexpr int kPromptRows = 128;
// More rows are a prompt's; they take longer than to start a kernel, whoever starts it.
constexpr int64_t kMostDecoded = 16;
// Enough cores to take up a memory's bandwidth, and what each of them reads: no cache holds it.
constexpr int kMostCrowd = 15;
constexpr int64_t kMostCrowdBytes = int64_t{64} << 20;

// What a matrix holds: numbers, or integers in the groups that workers make.
struct Format {
  DType dtype = DType::kF32;
  int64_t bits = 0;  // of integers

  std::string name() const {
    return bits == 0 ? std::string(DTypeName(dtype)) : absl::StrCat("int", bits);
  }
  absl::StatusOr<PackedMatrix> Make(int64_t outputs, Device& device) const {
    if (bits == 0) return PackedMatrix::Create(outputs, kInputs, dtype, device, "measuring");
    const Quantization groups = {.bits = bits, .group_inputs = 128, .zeros = bits == 4};
    return PackedMatrix::CreateQuantized(outputs, kInputs, groups, DType::kF16, device,
                                         "measuring");
  }
  // Whole panels of about so many bytes.
  int64_t Outputs(int64_t bytes) const {
    const int64_t weight_bits = bits == 0 ? 8 * DTypeBytes(dtype) : bits;
    const int64_t panels = 8 * bytes / (kInputs * weight_bits * kPanelOutputs);
    return std::max<int64_t>(panels, 1) * kPanelOutputs;
  }
};

// Matrices of one format that are multiplied one after another, round and round.
class Working {
 public:
  static absl::StatusOr<Working> Create(int64_t bytes, const Format& format, Device& device) {
    Working working(device);
    const int64_t count = std::max<int64_t>(1, bytes / kMatrixBytes);
    const int64_t outputs = format.Outputs(std::min(bytes, kMatrixBytes));
    for (int64_t i = 0; i < count; ++i) {
      LC_ASSIGN_OR_RETURN(working.matrices_.emplace_back(), format.Make(outputs, device));
    }
    LC_ASSIGN_OR_RETURN(working.x_, device.Allocate(kRows.back() * kInputs * 4, "measuring"));
    LC_ASSIGN_OR_RETURN(working.out_, device.Allocate(kRows.back() * outputs * 4, "measuring"));
    LC_ASSIGN_OR_RETURN(working.scratch_,
                        device.Allocate(InputPiecesBytes(kRows.back(), kInputs), "measuring"));
    for (int64_t i = 0; i < count; ++i) working.MultiplyNext(/*rows=*/1);
    return working;
  }

  double BytesPerSecond(int64_t rows, absl::Duration patience) {
    const double seconds =
        TimeIssued(device_, patience, rows > kMostDecoded ? Issued::kOneByOne : Issued::kReplayed,
                   std::ssize(matrices_), [&] { MultiplyNext(rows); });
    return static_cast<double>(matrices_.front().bytes()) / seconds;
  }
  void MultiplyNext(int64_t rows) {
    const PackedMatrix& matrix = matrices_[next_++ % matrices_.size()];
    MatMul(F32View(x_.As<float>(), rows, kInputs), matrix, /*bias=*/nullptr,
           F32View(out_.As<float>(), rows, matrix.outputs()), device_, scratch_);
  }

 private:
  explicit Working(Device& device) : device_(device) {}

  Device& device_;
  std::vector<PackedMatrix> matrices_;
  Buffer x_;
  Buffer out_;
  Buffer scratch_;
  size_t next_ = 0;
};

// Other cores at the same work, for as long as this lives.
class Crowd {
 public:
  static absl::StatusOr<std::unique_ptr<Crowd>> Start(int cores, int64_t bytes) {
    auto crowd = std::make_unique<Crowd>();
    for (int i = 0; i < cores; ++i) {
      LC_ASSIGN_OR_RETURN(auto device, Device::CreateCpu(/*num_threads=*/1));
      LC_ASSIGN_OR_RETURN(Working working, Working::Create(bytes, Format{kSummaryFormat}, *device));
      crowd->devices_.push_back(std::move(device));
      crowd->threads_.emplace_back([&over = crowd->over_, working = std::move(working)]() mutable {
        while (!over) working.MultiplyNext(/*rows=*/1);
      });
    }
    return crowd;
  }
  ~Crowd() {
    over_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::vector<std::unique_ptr<Device>> devices_;
  std::vector<std::thread> threads_;
};

}  // namespace

absl::Status MeasureProducts(Device& device, const MeasureLimits& limits,
                             v1::DeviceProfile* profile) {
  for (const Format& format : {Format{DType::kF32}, Format{DType::kBF16}, Format{DType::kF16},
                               Format{.bits = 8}, Format{.bits = 4}}) {
    int64_t measured = 0;
    for (const int64_t wanted : kWorkingSets) {
      const int64_t bytes = std::min(wanted, limits.max_bytes);
      if (std::exchange(measured, bytes) == bytes) break;
      LC_ASSIGN_OR_RETURN(Working working, Working::Create(bytes, format, device));
      for (const int rows : kRows) {
        const double rate = working.BytesPerSecond(rows, limits.patience);
        v1::StreamRate* entry = profile->add_weights();
        entry->set_format(format.name());
        entry->set_rows(rows);
        entry->set_working_set_bytes(static_cast<uint64_t>(bytes));
        entry->set_bytes_per_second(rate);
        if (format.bits != 0 || format.dtype != kSummaryFormat) continue;
        if (rows == 1) profile->set_bandwidth_bytes_per_second(rate);
        if (rows != kPromptRows) continue;
        profile->set_flops_per_second(rate * 2 * rows /
                                      static_cast<double>(DTypeBytes(kSummaryFormat)));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status MeasureCrowded(Device& device, const MeasureLimits& limits,
                            v1::DeviceProfile* profile) {
  const CpuAllowance allowance = CpuAllowance::Current();
  const int others = std::min(allowance.cores - device.num_threads(), kMostCrowd);
  if (device.kind() != DeviceKind::kCpu || others < 1 || allowance.quota > 0) {
    return absl::OkStatus();
  }
  int64_t measured = 0;
  for (const int64_t wanted : kWorkingSets) {
    const int64_t bytes = std::min(wanted, limits.max_bytes);
    if (std::exchange(measured, bytes) == bytes) break;
    LC_ASSIGN_OR_RETURN(Working working, Working::Create(bytes, Format{kSummaryFormat}, device));
    LC_ASSIGN_OR_RETURN(const auto crowd, Crowd::Start(others, std::min(bytes, kMostCrowdBytes)));
    v1::StreamRate* entry = profile->add_crowded();
    entry->set_format(Format{kSummaryFormat}.name());
    entry->set_rows(1);
    entry->set_working_set_bytes(static_cast<uint64_t>(bytes));
    entry->set_bytes_per_second(working.BytesPerSecond(/*rows=*/1, 2 * limits.patience));
  }
  return absl::OkStatus();
}

absl::StatusOr<double> MeasureShare(Device& device, const MeasureLimits& limits) {
  if (device.kind() != DeviceKind::kCpu) return 1;
  LC_ASSIGN_OR_RETURN(Working working, Working::Create(std::min(kMatrixBytes, limits.max_bytes),
                                                       Format{kSummaryFormat}, device));
  // Quotas are given out every 100 ms as a rule; a moment's interruption spoils but one try.
  const BusyClock clock = BusyClock::Of(device);
  double share = 0;
  for (int i = 0; i < 3; ++i) {
    const Timing timing =
        TimeRepeated(clock, 12 * limits.patience, [&] { working.MultiplyNext(/*rows=*/8); });
    share = std::max(share, std::min(1.0, timing.typical_seconds / timing.mean_seconds));
  }
  return share;
}

}  // namespace layercake
