// That products on tensor cores read and write shared memory without bank conflicts.

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/worker/cuda/bank_conflicts.h"
#include "worker/kernels/tensor_slabs.cuh"

namespace layercake {
namespace {

template <typename Slab>
int ByteIn(const Slab& slab, const void* at) {
  return static_cast<int>(static_cast<const char*>(at) - reinterpret_cast<const char*>(&slab));
}

template <typename Tiles>
class PanelSlabTest : public ::testing::Test {};
using AllTiles =
    ::testing::Types<DenseTiles<BF16Bits, 1, 4>, DenseTiles<BF16Bits, 1, 2>, IntegerTiles<8, 4>,
                     IntegerTiles<8, 2>, IntegerTiles<4, 4>, IntegerTiles<4, 2>>;
TYPED_TEST_SUITE(PanelSlabTest, AllTiles);

TYPED_TEST(PanelSlabTest, LanesReadWeightsWithoutBankConflicts) {
  using Slab = PanelSlab<TypeParam::kPartBytes, kSlabInputs>;
  const auto slab = std::make_unique<Slab>();
  for (int row = 0; row < kLaneInputs; ++row) {
    for (int step = 0; step < kSlabInputs; step += kStep) {
      std::vector<int> bytes;
      for (int lane = 0; lane < kWarpLanes; ++lane) {
        const int k = step + lane % 4 * kLaneInputs + row;
        bytes.push_back(ByteIn(*slab, slab->Byte(k, lane / 4 * TypeParam::kLaneBytes)));
      }
      ExpectNoConflicts(bytes, TypeParam::kLaneBytes);
    }
  }
}

TYPED_TEST(PanelSlabTest, CopiesArriveWithoutBankConflicts) {
  using Slab = PanelSlab<TypeParam::kPartBytes, kSlabInputs>;
  for (int first = 0; first < kSlabInputs * Slab::kChunks; first += kWarpLanes) {
    std::vector<int> bytes;
    for (int at = first; at < first + kWarpLanes; ++at) {
      bytes.push_back(Slab::At(at / Slab::kChunks, at % Slab::kChunks) * kChunkBytes);
    }
    ExpectNoConflicts(bytes, kChunkBytes);
  }
}

TEST(RowsSlabTest, LanesReadAndWriteInputsWithoutBankConflicts) {
  using Slab = RowsSlab<2 * kRowTile>;
  const auto slab = std::make_unique<Slab>();
  for (int row = 0; row < 2 * kRowTile; row += kRowTile) {
    for (int step = 0; step < kSlabInputs; step += kStep) {
      std::vector<int> bytes;
      for (int lane = 0; lane < kWarpLanes; ++lane) {
        bytes.push_back(ByteIn(*slab, &slab->At(row + lane / 4, step / kLaneInputs + lane % 4)));
      }
      ExpectNoConflicts(bytes, kChunkBytes);
    }
  }
  for (int row = 0; row < 2 * kRowTile; row += kWarpLanes / Slab::kChunks) {
    std::vector<int> bytes;
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      bytes.push_back(ByteIn(*slab, &slab->At(row + lane / Slab::kChunks, lane % Slab::kChunks)));
    }
    ExpectNoConflicts(bytes, kChunkBytes);
  }
}

}  // namespace
}  // namespace layercake
