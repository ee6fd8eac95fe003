#include "worker/device/cuda_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/testing/emulated_device.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

TEST(CudaDeviceTest, DescribesTheCard) {
  const auto device = EmulatedDevice({.major = 5, .minor = 2, .memory_bytes = 64 << 20});
  EXPECT_EQ(device->kind(), DeviceKind::kCuda);
  EXPECT_EQ(device->name(), "Emulated CUDA 5.2");
  EXPECT_EQ(AsCuda(*device).compute_capability(), 52);
  EXPECT_EQ(AsCuda(*device).tier().name, "5.2");
  EXPECT_EQ(device->Memory().total_bytes, 64 << 20);
}

TEST(CudaDeviceTest, EveryCapabilityHasATier) {
  for (const auto& [capability, name] : std::vector<std::pair<int, const char*>>{{50, "5.2"},
                                                                                 {52, "5.2"},
                                                                                 {60, "5.2"},
                                                                                 {61, "6.1"},
                                                                                 {70, "7.x"},
                                                                                 {75, "7.x"},
                                                                                 {80, "8.x"},
                                                                                 {86, "8.x"},
                                                                                 {89, "8.x"},
                                                                                 {90, "9.0"},
                                                                                 {120, "9.0"}}) {
    EXPECT_EQ(TierOf(capability).name, name) << capability;
  }
}

TEST(CudaDeviceTest, MemoryIsZeroedAndGivenBack) {
  const auto device = EmulatedDevice({.memory_bytes = 1 << 20});
  const int64_t before = device->Memory().free_bytes;
  {
    LC_ASSERT_OK_AND_ASSIGN(const Buffer buffer, device->Allocate(4000, "a test"));
    EXPECT_EQ(buffer.bytes(), 4032);
    EXPECT_LE(device->Memory().free_bytes, before - 4032);
    EXPECT_THAT(Download(*device, buffer, 1000), Each(0));
  }
  EXPECT_EQ(device->Memory().free_bytes, before);
}

TEST(CudaDeviceTest, RefusesMoreThanIsFreeAndGoesOn) {
  const auto device = EmulatedDevice({.memory_bytes = 1 << 20});
  EXPECT_THAT(device->Allocate(2 << 20, "the KV cache"),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("the KV cache"), HasSubstr("2.00 MiB"), HasSubstr("free"))));
  EXPECT_OK(device->status());
  EXPECT_OK(device->Allocate(1 << 19, "a test"));
}

TEST(CudaDeviceTest, AFailureStaysAndSaysWhatFailed) {
  const auto device = EmulatedDevice();
  const Buffer buffer = Upload(*device, {1, 2});
  simt::BreakDevice(0, cudaErrorECCUncorrectable);
  EXPECT_THAT(device->Finish(), StatusIs(absl::StatusCode::kInternal,
                                         AllOf(HasSubstr("CUDA device 0 (Emulated CUDA 8.0)"),
                                               HasSubstr("cudaErrorECCUncorrectable"))));
  EXPECT_THAT(device->status(), StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(device->Allocate(64, "a test"), StatusIs(absl::StatusCode::kInternal));
}

TEST(CudaDeviceTest, NobodySpinsForWhatTakesLong) {
  const auto device = EmulatedDevice();
  LC_ASSERT_OK_AND_ASSIGN(const auto copy, device->CreateHostCopy(64, "a test"));
  const int64_t before = simt::NumSpinningWaits();
  LC_ASSERT_OK_AND_ASSIGN(const Buffer buffer, device->Allocate(64, "a test"));
  const float values[] = {1, 2};
  const TensorView view = F32View(buffer.As<float>(), 1, 2);
  for (int i = 0; i < 3; ++i) ASSERT_OK(device->CopyFromHost(view, values, sizeof(values)));
  copy->BeginToHost(64);
  ASSERT_OK(copy->Wait());
  ASSERT_OK(device->Finish());
  EXPECT_EQ(simt::NumSpinningWaits(), before);
}

TEST(CudaDeviceTest, WhatACardRefusesHasACodeOfItsOwn) {
  simt::SetDevices({{.refusal = cudaErrorMemoryAllocation}});
  EXPECT_THAT(Device::CreateCuda(0), StatusIs(absl::StatusCode::kResourceExhausted));
  simt::SetDevices({{.refusal = cudaErrorDevicesUnavailable}});
  EXPECT_THAT(Device::CreateCuda(0), StatusIs(absl::StatusCode::kUnavailable));
  simt::SetDevices({{.refusal = cudaErrorECCUncorrectable}});
  EXPECT_THAT(Device::CreateCuda(0), StatusIs(absl::StatusCode::kInternal));
}

TEST(CudaDeviceTest, NoSuchCardIsNotFound) {
  simt::SetDevices({{}});
  EXPECT_THAT(Device::CreateCuda(3), StatusIs(absl::StatusCode::kNotFound, HasSubstr("3")));
}

}  // namespace
}  // namespace layercake
