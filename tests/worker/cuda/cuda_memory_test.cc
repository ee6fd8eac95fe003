// What any CUDA device does with memory, emulated or a card.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/test_card.h"
#include "worker/device/device.h"

namespace layercake {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

TEST(CudaMemoryTest, IsZeroedEvenWhereItWasUsedBefore) {
  const auto device = TestCard();
  constexpr int64_t kCount = 1 << 20;
  for (int i = 0; i < 3; ++i) {
    LC_ASSERT_OK_AND_ASSIGN(const Buffer buffer, device->Allocate(kCount * 4, "a test"));
    EXPECT_THAT(Download(*device, buffer, kCount), Each(0));
    const std::vector<float> ones(kCount, 1);
    ASSERT_OK(
        device->CopyFromHost(F32View(buffer.As<float>(), 1, kCount), ones.data(), kCount * 4));
  }
}

TEST(CudaMemoryTest, MoreThanThereIsIsRefusedAndTheDeviceGoesOn) {
  const auto device = TestCard();
  EXPECT_THAT(device->Allocate(device->Memory().total_bytes + (1 << 20), "the KV cache"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("the KV cache")));
  EXPECT_OK(device->status());
  EXPECT_OK(device->Allocate(1 << 19, "a test"));
  EXPECT_OK(device->Finish());
}

TEST(CudaMemoryTest, CopiesMoreThanItsStagingHolds) {
  const auto device = TestCard();
  constexpr int64_t kCount = 5 << 20;
  std::vector<float> values(kCount);
  std::iota(values.begin(), values.end(), 0.0f);
  for (const int64_t rows : {5, 2, 1}) {
    LC_ASSERT_OK_AND_ASSIGN(const Buffer buffer, device->Allocate(kCount * 4, "a test"));
    const TensorView view = F32View(buffer.As<float>(), rows, kCount / rows);
    ASSERT_OK(device->CopyFromHost(view, values.data(), kCount * 4));
    EXPECT_TRUE(Download(*device, buffer, kCount) == values) << rows << " rows";
  }
}

TEST(CudaMemoryTest, CopiesSomeColumns) {
  const auto device = TestCard();
  const Buffer buffer = Upload(*device, std::vector<float>(6, 0));
  const TensorView columns = F32View(buffer.As<float>(), 2, 3).Columns(1, 2);
  const float from[] = {1, 2, 3, 4};
  ASSERT_OK(device->CopyFromHost(columns, from, sizeof(from)));
  EXPECT_THAT(Download(*device, buffer, 6), ::testing::ElementsAre(0, 1, 2, 0, 3, 4));
  float to[4] = {};
  ASSERT_OK(device->CopyToHost(to, columns, sizeof(to)));
  EXPECT_THAT(to, ::testing::ElementsAre(1, 2, 3, 4));
}

}  // namespace
}  // namespace layercake
