#include <gtest/gtest.h>
#include <nccl.h>

#include <cstddef>

#include "worker/transport/nccl_functions.h"

namespace layercake {
namespace {

TEST(NcclLayoutTest, IsThatOfNcclsOwnHeader) {
  static_assert(sizeof(NcclUniqueId) == sizeof(ncclUniqueId));
  static_assert(offsetof(NcclConfig, magic) == offsetof(ncclConfig_t, magic));
  static_assert(offsetof(NcclConfig, version) == offsetof(ncclConfig_t, version));
  static_assert(offsetof(NcclConfig, blocking) == offsetof(ncclConfig_t, blocking));
  static_assert(offsetof(NcclConfig, cga_cluster_size) == offsetof(ncclConfig_t, cgaClusterSize));
  static_assert(sizeof(NcclConfig) == offsetof(ncclConfig_t, minCTAs));
  static_assert(int{ncclSuccess} == kNcclSuccess && int{ncclInProgress} == kNcclInProgress);
  static_assert(int{ncclUint8} == kNcclUint8);
  const ncclConfig_t theirs = NCCL_CONFIG_INITIALIZER;
  EXPECT_EQ(NcclConfig().magic, theirs.magic);
  EXPECT_EQ(NcclConfig().cga_cluster_size, theirs.cgaClusterSize);
  EXPECT_LE(NcclConfig().version, theirs.version);
}

}  // namespace
}  // namespace layercake
