// That attention on tensor cores reads and writes shared memory without bank conflicts.

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "tests/worker/cuda/bank_conflicts.h"
#include "worker/kernels/attention_tensor_stage.cuh"

namespace layercake {
namespace {

constexpr int kNumberBytes = 2;

// Of each number its place, so that what lanes read tells where they read it.
std::vector<uint16_t> Places() {
  std::vector<uint16_t> slab(kSlabNumbers);
  std::iota(slab.begin(), slab.end(), uint16_t{0});
  return slab;
}

int ByteOf(unsigned int word) { return static_cast<int>(word & 0xffff) * kNumberBytes; }

TEST(AttentionSlabsTest, LanesReadKeysWithoutBankConflicts) {
  const std::vector<uint16_t> slab = Places();
  for (int warp = 0; warp < kWarps; ++warp) {
    std::vector<StagedKeys> lanes;
    for (int lane = 0; lane < kWarpLanes; ++lane) lanes.emplace_back(slab.data(), warp, lane);
    for (int step = 0; step < kSlabSteps; ++step) {
      std::vector<KvColumns<kKeysOfLane>> keys(kWarpLanes);
      for (int lane = 0; lane < kWarpLanes; ++lane) lanes[lane].ReadNext(keys[lane]);
      for (int row = 0; row < kKeyRows; ++row) {
        std::vector<int> places;
        for (const auto& of_lane : keys) places.push_back(ByteOf(of_lane.rows[row][0]));
        ExpectNoConflicts(places, kKeysOfLane * kNumberBytes);
      }
    }
  }
}

template <typename C>
class AttentionValueSlabsTest : public ::testing::Test {};
using Cuts = ::testing::Types<Cut<64, 2, 2, false>, Cut<128, 2, 2, false>, Cut<256, 1, 2, false>>;
TYPED_TEST_SUITE(AttentionValueSlabsTest, Cuts);

TYPED_TEST(AttentionValueSlabsTest, LanesReadValuesWithoutBankConflicts) {
  const std::vector<uint16_t> slab = Places();
  for (int warp = 0; warp < kWarps; ++warp) {
    for (int pair = 0; pair < kSlabPositions<TypeParam> / kPairPositions; ++pair) {
      std::vector<PairValues<TypeParam::kColumns>> values(kWarpLanes);
      for (int lane = 0; lane < kWarpLanes; ++lane) {
        const int dim = (warp * 8 + lane / 4) * TypeParam::kColumns;
        TakePair<TypeParam>(slab.data(), pair, dim, lane, values[lane]);
      }
      for (int row = 0; row < kValueRows; ++row) {
        std::vector<int> places;
        for (const auto& of_lane : values) {
          places.push_back(ByteOf(of_lane.steps[row / 4].rows[row % 4][0]));
        }
        ExpectNoConflicts(places, TypeParam::kColumns * kNumberBytes);
      }
    }
  }
}

TYPED_TEST(AttentionValueSlabsTest, CopiesArriveWithoutBankConflicts) {
  for (int first = 0; first < kSlabNumbers; first += kWarpLanes * kVector) {
    std::vector<int> keys, values;
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      const int at = first + lane * kVector, dims = TypeParam::kDims;
      keys.push_back(InSlab<kChunk, kKeyRows>(at / kChunk, at % kChunk) * kNumberBytes);
      values.push_back(InSlab<TypeParam::kDims, kValueRows>(at / dims, at % dims) * kNumberBytes);
    }
    ExpectNoConflicts(keys, kVector * kNumberBytes);
    ExpectNoConflicts(values, kVector * kNumberBytes);
  }
}

}  // namespace
}  // namespace layercake
