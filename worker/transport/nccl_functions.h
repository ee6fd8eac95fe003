#pragma once

// NCCL's functions, as far as we call them, found when the program runs: it starts where there is
// no NCCL, and a test can put others in their place. The layouts are NCCL's since 2.14 (nccl.h).

#include <cstddef>
#include <limits>

#include "absl/status/statusor.h"

struct CUstream_st;  // what a cudaStream_t points to

namespace layercake {

struct NcclComm;  // opaque

struct NcclUniqueId {
  char bytes[128];
};

// The first fields: `size` and `version` tell NCCL that the rest keep their defaults.
struct NcclConfig {
  size_t size = sizeof(NcclConfig);
  unsigned int magic = 0xcafebeef;
  unsigned int version = 21400;
  int blocking = 0;  // calls return kNcclInProgress rather than wait
  int cga_cluster_size = std::numeric_limits<int>::min();  // not set
};

// ncclResult_t and ncclDataType_t.
inline constexpr int kNcclSuccess = 0;
inline constexpr int kNcclInProgress = 7;
inline constexpr int kNcclUint8 = 1;

struct NcclFunctions {
  int (*get_version)(int* version);
  int (*get_unique_id)(NcclUniqueId* id);
  int (*comm_init_rank_config)(NcclComm** comm, int num_ranks, NcclUniqueId id, int rank,
                               NcclConfig* config);
  int (*comm_get_async_error)(NcclComm* comm, int* error);
  int (*comm_abort)(NcclComm* comm);
  int (*send)(const void* data, size_t count, int type, int peer, NcclComm* comm,
              CUstream_st* stream);
  int (*recv)(void* data, size_t count, int type, int peer, NcclComm* comm, CUstream_st* stream);
  const char* (*get_error_string)(int error);
};

// Loads libnccl.so.2, once; LD_LIBRARY_PATH says where it may be. The functions live as long as the
// process. Errors: Unimplemented (a build without NCCL); NotFound (no library, or one older
// than 2.14).
absl::StatusOr<const NcclFunctions*> LoadNccl();

}  // namespace layercake
