// Which emulated cards a process uses, and by which code.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/testing/emulated_device.h"
#include "tests/testing/status_matchers.h"
#include "worker/device/cards.h"
#include "worker/device_choice.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

TEST(CudaCardsTest, CardsAreDescribedUnusedAndLeftWhenDoneWith) {
  simt::SetDevices({{}, {.major = 6, .minor = 1, .memory_bytes = 1 << 20}});
  CudaRuntime& runtime = *CudaRuntime::Real();
  LC_ASSERT_OK_AND_ASSIGN(std::vector<Card> cards, ListCards(&runtime));
  ASSERT_EQ(cards.size(), 2u);
  EXPECT_FALSE(simt::IsUsed(0) || simt::IsUsed(1));
  ASSERT_OK(UseCard(runtime, &cards[1]));
  EXPECT_FALSE(simt::IsUsed(0));
  EXPECT_TRUE(simt::IsUsed(1));
  EXPECT_EQ(cards[1].free_bytes, 1 << 20);
  EXPECT_EQ(cards[1].code_capability, 61);
  runtime.Leave(cards[1]);
  EXPECT_FALSE(simt::IsUsed(1));
}

TEST(CudaCardsTest, AThreadThatFreesUsesTheCardThatItFreesOn) {
  simt::SetDevices({{}, {}});
  LC_ASSERT_OK_AND_ASSIGN(const auto device, Device::CreateCuda(1));
  LC_ASSERT_OK_AND_ASSIGN(Buffer buffer, device->Allocate(64, "a test"));
  LC_ASSERT_OK_AND_ASSIGN(Buffer host, device->AllocateHost(64, "a test"));
  LC_ASSERT_OK_AND_ASSIGN(auto copy, device->CreateHostCopy(64, "a test"));
  LC_ASSERT_OK_AND_ASSIGN(CudaGraph graph, AsCuda(*device).Capture([] {}));
  for (const auto& free :
       std::vector<std::function<void()>>{[&] { buffer = Buffer(); }, [&] { host = Buffer(); },
                                          [&] { copy = nullptr; }, [&] { graph = nullptr; }}) {
    std::thread(free).join();
    EXPECT_FALSE(simt::IsUsed(0));
  }
}

TEST(CudaCardsTest, KernelsDoWhatTheirCodeWasCompiledFor) {
  const auto device = EmulatedDevice({.major = 8, .minor = 0, .code_capability = 75});
  EXPECT_EQ(AsCuda(*device).compute_capability(), 80);
  EXPECT_FALSE(AsCuda(*device).tier().tensor_cores);
  EXPECT_TRUE(AsCuda(*device).tier().dot_products);
}

TEST(CudaCardsTest, ACardThatIsChosenIsTheOneUsedWithAsManyThreadsAsAsked) {
  simt::SetDevices({{}, {}, {}});
  {
    LC_ASSERT_OK_AND_ASSIGN(const ChosenDevice chosen,
                            OpenDevice("cuda:1", 3, CudaRuntime::Real()));
    EXPECT_EQ(AsCuda(*chosen.device).index(), 1);
    EXPECT_EQ(chosen.device->num_threads(), 3);
  }
  EXPECT_FALSE(simt::IsUsed(0) || simt::IsUsed(2));
}

TEST(CudaCardsTest, ACardWithoutCodeIsRefused) {
  simt::SetDevices({{.major = 5, .minor = 2, .code_capability = simt::kNoCode}});
  EXPECT_THAT(Device::CreateCuda(0), StatusIs(absl::StatusCode::kUnimplemented,
                                              HasSubstr("cudaErrorNoKernelImageForDevice")));
  CudaRuntime& runtime = *CudaRuntime::Real();
  LC_ASSERT_OK_AND_ASSIGN(std::vector<Card> cards, ListCards(&runtime));
  EXPECT_THAT(UseCard(runtime, &cards[0]),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("5.2")));
  EXPECT_FALSE(simt::IsUsed(0));
}

}  // namespace
}  // namespace layercake
