#include "worker/kernels/packed_matrix.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "worker/kernels/convert.h"
#include "worker/kernels/cuda_dispatch.h"
#include "worker/kernels/typed.h"

namespace layercake {
namespace {

// Inputs transposed at a time: 64 rows of these and their panel stay in the first-level cache.
constexpr int64_t kStripInputs = 128;

// Transposes [rows, count] at `rows_begin` (stride kStripInputs) into panel columns from `column`.
template <typename T>
void TransposeStrip(const T* strip, int64_t rows, int64_t count, int64_t column, T* panel) {
  for (int64_t k = 0; k < count; ++k) {
    T* out = panel + k * kPanelOutputs + column;
    for (int64_t r = 0; r < rows; ++r) out[r] = strip[r * kStripInputs + k];
  }
}

}  // namespace

absl::StatusOr<PackedMatrix> PackedMatrix::Create(int64_t outputs, int64_t inputs, DType dtype,
                                                  Device& device, absl::string_view purpose) {
  PackedMatrix matrix;
  matrix.outputs_ = outputs;
  matrix.inputs_ = inputs;
  matrix.dtype_ = dtype;
  LC_ASSIGN_OR_RETURN(matrix.data_,
                      device.Allocate(PackedMatrixBytes(outputs, inputs, dtype), purpose));
  return matrix;
}

// Some rows at a time: staged as they are, then packed by the device out of the host's memory.
void PackedMatrix::PackOnCuda(int64_t first_output, int64_t rows, const void* source,
                              DType source_dtype, Device& device) {
  CudaDevice& cuda = AsCuda(device);
  const int64_t row_bytes = inputs_ * DTypeBytes(source_dtype);
  const int64_t most = CudaDevice::kStagingBytes / row_bytes;
  CHECK_GT(most, 0) << inputs_ << " inputs";
  for (int64_t row = 0; row < rows; row += most) {
    const int64_t count = std::min(most, rows - row);
    char* const staged = cuda.BeginStaging();
    std::memcpy(staged, static_cast<const char*>(source) + row * row_bytes, count * row_bytes);
    LaunchOn(device, "packing weights", &CudaKernels::pack_rows,
             PackRowsArgs{.source = staged,
                          .source_dtype = source_dtype,
                          .first_output = first_output + row,
                          .rows = count,
                          .inputs = inputs_,
                          .panels = data_.data(),
                          .dtype = dtype_});
    cuda.EndStaging();
  }
}

void PackedMatrix::PackRows(int64_t first_output, int64_t rows, const void* source,
                            DType source_dtype, Device& device) {
  CHECK_EQ(grouped_.bits, 0) << "integers are packed by PackQuantized";
  CHECK(first_output >= 0 && rows >= 0 && first_output + rows <= outputs_);
  if (rows == 0) return;
  if (device.kind() == DeviceKind::kCuda) {
    return PackOnCuda(first_output, rows, source, source_dtype, device);
  }
  const int64_t row_bytes = inputs_ * DTypeBytes(source_dtype);
  const int64_t first_panel = first_output / kPanelOutputs;
  const int64_t last_panel = (first_output + rows - 1) / kPanelOutputs;
  const auto pack_panel = [&](int64_t panel) {
    const int64_t begin = std::max(first_output, panel * kPanelOutputs);
    const int64_t end = std::min(first_output + rows, (panel + 1) * kPanelOutputs);
    const char* from = static_cast<const char*>(source) + (begin - first_output) * row_bytes;
    WithType(dtype_, [&](auto zero) {
      using T = decltype(zero);
      T strip[kPanelOutputs * kStripInputs];
      T* to = data_.As<T>() + panel * kPanelOutputs * inputs_;
      for (int64_t k = 0; k < inputs_; k += kStripInputs) {
        const int64_t count = std::min(kStripInputs, inputs_ - k);
        for (int64_t r = 0; r < end - begin; ++r) {
          ConvertNumbers(from + r * row_bytes + k * DTypeBytes(source_dtype), source_dtype, count,
                         strip + r * kStripInputs, dtype_);
        }
        TransposeStrip(strip, end - begin, count, begin % kPanelOutputs, to + k * kPanelOutputs);
      }
    });
  };
  device.pool().ParallelFor(last_panel - first_panel + 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) pack_panel(first_panel + i);
  });
}

}  // namespace layercake
