#include "worker/kernels/embedding.h"

#include <cstring>

#include "common/base/logging.h"
#include "worker/kernels/convert.h"
#include "worker/kernels/cuda_dispatch.h"

namespace layercake {
namespace {

// The kernel reads the ids where they are staged, in the host's memory: there are few.
void LookUpOnCuda(const TensorView& table, std::span<const int32_t> ids, const TensorView& out,
                  Device& device) {
  if (ids.empty()) return;
  CudaDevice& cuda = AsCuda(device);
  CHECK_LE(static_cast<int64_t>(ids.size_bytes()), CudaDevice::kStagingBytes);
  char* const staged = cuda.BeginStaging();
  std::memcpy(staged, ids.data(), ids.size_bytes());
  LaunchOn(
      device, "looking up embeddings", &CudaKernels::look_up_rows,
      LookUpArgs{table.data, table.dtype, reinterpret_cast<const int32_t*>(staged), RowsOf(out)});
  cuda.EndStaging();
}

}  // namespace

void LookUpRows(const TensorView& table, std::span<const int32_t> ids, const TensorView& out,
                Device& device) {
  CHECK_EQ(out.rows, static_cast<int64_t>(ids.size()));
  CHECK_EQ(out.cols, table.cols);
  CHECK_EQ(table.stride, table.cols);
  for (const int32_t id : ids) CHECK(id >= 0 && id < table.rows) << id;
  if (device.kind() == DeviceKind::kCuda) {
    return LookUpOnCuda(table, ids, out, device);
  }
  const int64_t row_bytes = table.cols * DTypeBytes(table.dtype);
  device.pool().ParallelFor(out.rows, 32, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const char* row = static_cast<const char*>(table.data) + ids[i] * row_bytes;
      ConvertNumbers(row, table.dtype, table.cols, out.Row(i), DType::kF32);
    }
  });
}

}  // namespace layercake
