// Stands in for nccl_functions_dl.cc in a build without NCCL.

#include "worker/transport/nccl_functions.h"

namespace layercake {

absl::StatusOr<const NcclFunctions*> LoadNccl() {
  return absl::UnimplementedError("this program was built without NCCL");
}

}  // namespace layercake
