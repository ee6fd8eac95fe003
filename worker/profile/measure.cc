#include <algorithm>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "worker/kernels/matmul.h"
#include "worker/kernels/packed_matrix.h"
#include "worker/profile/profile.h"

namespace layercake {
namespace {

// Weights are bf16, as most checkpoints' are.
constexpr DType kDType = DType::kBF16;
constexpr int64_t kInputs = 4096;
constexpr int64_t kStreamBytes = int64_t{256} << 20;
constexpr int64_t kPromptOutputs = 1024;
constexpr int64_t kPromptRows = 128;
constexpr absl::Duration kPatience = absl::Milliseconds(300);

// The median time of one product, over as many as fit the patience, at least one.
absl::StatusOr<absl::Duration> TimeProduct(int64_t rows, int64_t outputs, Device& device) {
  LC_ASSIGN_OR_RETURN(const PackedMatrix weights,
                      PackedMatrix::Create(outputs, kInputs, kDType, device, "measuring"));
  LC_ASSIGN_OR_RETURN(const Buffer x, device.Allocate(rows * kInputs * 4, "measuring"));
  LC_ASSIGN_OR_RETURN(const Buffer out, device.Allocate(rows * outputs * 4, "measuring"));
  const TensorView x_view = F32View(x.As<float>(), rows, kInputs);
  const TensorView out_view = F32View(out.As<float>(), rows, outputs);
  const absl::Time end = Clock::Real()->Now() + kPatience;
  std::vector<absl::Duration> times;
  for (absl::Time now = Clock::Real()->Now(); times.empty() || now < end;) {
    MatMul(x_view, weights, /*bias=*/nullptr, out_view, device);
    const absl::Time after = Clock::Real()->Now();
    times.push_back(after - now);
    now = after;
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return std::max(times[times.size() / 2], absl::Nanoseconds(1));
}

}  // namespace

absl::StatusOr<Profile> MeasureProfile(Device& device, int64_t max_bytes) {
  const int64_t row_bytes = kInputs * DTypeBytes(kDType);
  const int64_t most = std::max<int64_t>(max_bytes / row_bytes / kPanelOutputs, 1) * kPanelOutputs;
  const int64_t stream_outputs = std::min(kStreamBytes / row_bytes, most);
  LC_ASSIGN_OR_RETURN(const absl::Duration stream, TimeProduct(1, stream_outputs, device));
  const int64_t prompt_outputs = std::min(kPromptOutputs, most);
  LC_ASSIGN_OR_RETURN(const absl::Duration prompt,
                      TimeProduct(kPromptRows, prompt_outputs, device));
  return Profile{
      .bandwidth_bytes_per_second =
          static_cast<double>(stream_outputs * row_bytes) / absl::ToDoubleSeconds(stream),
      .flops_per_second = 2.0 * static_cast<double>(kPromptRows * prompt_outputs * kInputs) /
                          absl::ToDoubleSeconds(prompt)};
}

}  // namespace layercake
