#include "worker/kernels/embedding.h"

#include "common/base/logging.h"
#include "worker/kernels/convert.h"

namespace layercake {

void LookUpRows(const TensorView& table, std::span<const int32_t> ids, const TensorView& out,
                Device& device) {
  CHECK_EQ(out.rows, static_cast<int64_t>(ids.size()));
  CHECK_EQ(out.cols, table.cols);
  CHECK_EQ(table.stride, table.cols);
  const int64_t row_bytes = table.cols * DTypeBytes(table.dtype);
  device.pool().ParallelFor(out.rows, 32, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      CHECK(ids[i] >= 0 && ids[i] < table.rows) << ids[i];
      const char* row = static_cast<const char*>(table.data) + ids[i] * row_bytes;
      ConvertNumbers(row, table.dtype, table.cols, out.Row(i), DType::kF32);
    }
  });
}

}  // namespace layercake
