#include <dlfcn.h>

#include "worker/device/nvml.h"

namespace layercake {
namespace {

constexpr int kNvmlSuccess = 0;

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

}  // namespace

Nvml::Nvml(const std::string& library) {
  void* const loaded = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  int (*init)() = nullptr;
  if (loaded == nullptr || !Find(loaded, "nvmlInit_v2", &init) || init() != kNvmlSuccess ||
      !Find(loaded, "nvmlDeviceGetHandleByUUID", &handle_by_uuid_) ||
      !Find(loaded, "nvmlDeviceGetMemoryInfo", &memory_info_)) {
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
