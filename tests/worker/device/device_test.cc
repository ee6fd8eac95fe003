#include "worker/device/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(DeviceTest, DescribesTheHost) {
  LC_ASSERT_OK_AND_ASSIGN(const auto device, Device::CreateCpu(3));
  EXPECT_EQ(device->kind(), DeviceKind::kCpu);
  EXPECT_EQ(device->num_threads(), 3);
  EXPECT_FALSE(device->name().empty());
  EXPECT_EQ(device->isa(), BestCpuIsa());
  const DeviceMemory memory = device->Memory();
  EXPECT_GT(memory.free_bytes, 0);
  EXPECT_LE(memory.free_bytes, memory.total_bytes);
}

TEST(DeviceTest, ZeroThreadsMeansOnePerCore) {
  LC_ASSERT_OK_AND_ASSIGN(const auto device, Device::CreateCpu(0));
  EXPECT_GE(device->num_threads(), 1);
}

TEST(DeviceTest, RefusesThreadsThatMakeNoSense) {
  EXPECT_THAT(Device::CreateCpu(-1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("-1")));
  EXPECT_THAT(Device::CreateCpu(1025), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(DeviceTest, AllocationsAreAlignedAndZero) {
  LC_ASSERT_OK_AND_ASSIGN(const auto device, Device::CreateCpu(2));
  for (const int64_t bytes : {1, 64, 4097, (5 << 20) + 3}) {
    LC_ASSERT_OK_AND_ASSIGN(const Buffer buffer, device->Allocate(bytes, "a test"));
    EXPECT_EQ(buffer.bytes(), (bytes + 63) / 64 * 64);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0);
    const char* data = buffer.As<char>();
    EXPECT_TRUE(std::all_of(data, data + buffer.bytes(), [](char c) { return c == 0; }));
  }
}

TEST(DeviceTest, RefusesMoreThanIsFreeWithFigures) {
  LC_ASSERT_OK_AND_ASSIGN(const auto device, Device::CreateCpu(1));
  EXPECT_THAT(device->Allocate(int64_t{1} << 50, "the KV cache"),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("the KV cache"), HasSubstr("1024 TiB"), HasSubstr("free"))));
}

TEST(DeviceTest, MovedBuffersHaveOneOwner) {
  LC_ASSERT_OK_AND_ASSIGN(const auto device, Device::CreateCpu(1));
  LC_ASSERT_OK_AND_ASSIGN(Buffer first, device->Allocate(64, "a test"));
  void* const data = first.data();
  Buffer second = std::move(first);
  EXPECT_EQ(first.data(), nullptr);
  EXPECT_EQ(first.bytes(), 0);
  EXPECT_EQ(second.data(), data);
}

TEST(DeviceTest, CopiesRowsBothWays) {
  LC_ASSERT_OK_AND_ASSIGN(const auto device, Device::CreateCpu(1));
  LC_ASSERT_OK_AND_ASSIGN(const Buffer buffer, device->Allocate(24, "a test"));
  const TensorView view = F32View(buffer.As<float>(), 2, 3);
  const float from[] = {1, 2, 3, 4, 5, 6};
  ASSERT_OK(device->CopyFromHost(view, from, sizeof(from)));
  EXPECT_EQ(view.Row(1)[2], 6);
  float to[3] = {};
  ASSERT_OK(device->CopyToHost(to, view.Head(1), sizeof(to)));
  EXPECT_THAT(to, ::testing::ElementsAre(1, 2, 3));
}

TEST(DeviceTest, CopiesBetweenDenseRowsAndSomeColumns) {
  LC_ASSERT_OK_AND_ASSIGN(const auto device, Device::CreateCpu(1));
  LC_ASSERT_OK_AND_ASSIGN(const Buffer buffer, device->Allocate(24, "a test"));
  const TensorView columns = F32View(buffer.As<float>(), 2, 3).Columns(1, 2);
  const float from[] = {1, 2, 3, 4};
  ASSERT_OK(device->CopyFromHost(columns, from, sizeof(from)));
  EXPECT_THAT(std::vector<float>(buffer.As<float>(), buffer.As<float>() + 6),
              ::testing::ElementsAre(0, 1, 2, 0, 3, 4));
  float to[4] = {};
  ASSERT_OK(device->CopyToHost(to, columns, sizeof(to)));
  EXPECT_THAT(to, ::testing::ElementsAre(1, 2, 3, 4));
}

TEST(CpuIsaTest, SupportedOnesEndWithTheBest) {
  const auto isas = SupportedCpuIsas();
  EXPECT_EQ(isas.front(), CpuIsa::kGeneric);
  EXPECT_EQ(isas.back(), BestCpuIsa());
}

}  // namespace
}  // namespace layercake
