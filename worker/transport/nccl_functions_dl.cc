#include <dlfcn.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "worker/device/find_function.h"
#include "worker/transport/nccl_functions.h"

namespace layercake {
namespace {

constexpr int kOldestVersion = 21400;

absl::StatusOr<NcclFunctions> Load() {
  void* const library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    return absl::NotFoundError(absl::StrCat("there is no NCCL: ", why == nullptr ? "" : why));
  }
  NcclFunctions functions;
  if (!FindFunction(library, "ncclGetVersion", &functions.get_version) ||
      !FindFunction(library, "ncclGetUniqueId", &functions.get_unique_id) ||
      !FindFunction(library, "ncclCommInitRankConfig", &functions.comm_init_rank_config) ||
      !FindFunction(library, "ncclCommGetAsyncError", &functions.comm_get_async_error) ||
      !FindFunction(library, "ncclCommAbort", &functions.comm_abort) ||
      !FindFunction(library, "ncclSend", &functions.send) ||
      !FindFunction(library, "ncclRecv", &functions.recv) ||
      !FindFunction(library, "ncclGetErrorString", &functions.get_error_string)) {
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
