#include "worker/kernels/convert.h"

#include <cstring>

#include "worker/kernels/cuda_dispatch.h"
#include "worker/kernels/typed.h"

namespace layercake {

void ConvertNumbers(const void* from, DType from_dtype, int64_t count, void* to, DType to_dtype) {
  if (from_dtype == to_dtype) {
    std::memcpy(to, from, count * DTypeBytes(to_dtype));
    return;
  }
  WithType(from_dtype, [&](auto source) {
    WithType(to_dtype, [&](auto target) {
      const char* in = static_cast<const char*>(from);
      auto* out = static_cast<decltype(target)*>(to);
      for (int64_t i = 0; i < count; ++i) {
        std::memcpy(&source, in + i * sizeof(source), sizeof(source));
        out[i] = Narrow(ToFloat(source), target);
      }
    });
  });
}

void ConvertNumbers(const void* from, DType from_dtype, int64_t count, void* to, DType to_dtype,
                    Device& device) {
  if (device.kind() == DeviceKind::kCuda) {
    return LaunchOn(device, "converting numbers", &CudaKernels::convert,
                    ConvertArgs{from, from_dtype, count, to, to_dtype});
  }
  ConvertNumbers(from, from_dtype, count, to, to_dtype);
}

}  // namespace layercake
