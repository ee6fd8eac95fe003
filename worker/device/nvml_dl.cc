#include <dlfcn.h>

#include "worker/device/find_function.h"
#include "worker/device/nvml.h"

namespace layercake {
namespace {

constexpr int kNvmlSuccess = 0;

}  // namespace

Nvml::Nvml(const std::string& library) {
  void* const loaded = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  int (*init)() = nullptr;
  if (loaded == nullptr || !FindFunction(loaded, "nvmlInit_v2", &init) || init() != kNvmlSuccess ||
      !FindFunction(loaded, "nvmlDeviceGetHandleByUUID", &handle_by_uuid_) ||
      !FindFunction(loaded, "nvmlDeviceGetMemoryInfo", &memory_info_)) {
    handle_by_uuid_ = nullptr;
  }
}

std::optional<int64_t> Nvml::FreeBytes(const std::string& uuid) const {
  void* handle = nullptr;
  Memory memory = {};
  if (handle_by_uuid_ == nullptr || handle_by_uuid_(uuid.c_str(), &handle) != kNvmlSuccess ||
      memory_info_(handle, &memory) != kNvmlSuccess) {
    return std::nullopt;
  }
  return static_cast<int64_t>(memory.free);
}

}  // namespace layercake
