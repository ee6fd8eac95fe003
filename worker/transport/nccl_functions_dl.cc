#include <dlfcn.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "worker/transport/nccl_functions.h"

namespace layercake {
namespace {

constexpr int kOldestVersion = 21400;

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

absl::StatusOr<NcclFunctions> Load() {
  void* const library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    return absl::NotFoundError(absl::StrCat("there is no NCCL: ", why == nullptr ? "" : why));
  }
  NcclFunctions functions;
  if (!Find(library, "ncclGetVersion", &functions.get_version) ||
      !Find(library, "ncclGetUniqueId", &functions.get_unique_id) ||
      !Find(library, "ncclCommInitRankConfig", &functions.comm_init_rank_config) ||
      !Find(library, "ncclCommGetAsyncError", &functions.comm_get_async_error) ||
      !Find(library, "ncclCommAbort", &functions.comm_abort) ||
      !Find(library, "ncclSend", &functions.send) || !Find(library, "ncclRecv", &functions.recv) ||
      !Find(library, "ncclGetErrorString", &functions.get_error_string)) {
    return absl::NotFoundError("libnccl.so.2 is older than NCCL 2.14");
  }
  int version = 0;
  if (functions.get_version(&version) != kNcclSuccess || version < kOldestVersion) {
    return absl::NotFoundError(absl::StrCat("libnccl.so.2 is version ", version, ", and 2.14 (",
                                            kOldestVersion, ") is the oldest used"));
  }
  return functions;
}

}  // namespace

absl::StatusOr<const NcclFunctions*> LoadNccl() {
  static const auto* const loaded = new absl::StatusOr<NcclFunctions>(Load());
  if (!loaded->ok()) return loaded->status();
  return &**loaded;
}

}  // namespace layercake
