// safetensors headers: any bytes give a status, or tensors that lie within those bytes.

#include <cstddef>
#include <cstdint>

#include "common/base/logging.h"
#include "common/model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file(reinterpret_cast<const char*>(data), size);
  const auto header = layercake::ParseSafetensors(file);
  if (!header.ok()) return 0;
  for (const auto& [name, tensor] : header->tensors) {
    CHECK(tensor.data.data() >= file.data());
    CHECK(tensor.data.data() + tensor.data.size() <= file.data() + file.size());
    int64_t bytes = layercake::DTypeBytes(tensor.dtype);
    for (const int64_t dim : tensor.shape) bytes *= dim;
    CHECK_EQ(bytes, static_cast<int64_t>(tensor.data.size()));
  }
  return 0;
}
