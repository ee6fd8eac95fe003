#include "worker/transport/grpc_activation_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <vector>

#include "tests/testing/next_stage.h"
#include "tests/testing/status_matchers.h"
#include "worker/kernels/convert.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// More than what a connection takes on before its other end reads.
constexpr int64_t kLarge = 8 << 20;
constexpr int64_t kSmall = 64;
constexpr std::chrono::seconds kPatience(60);

class GrpcActivationSinkTest : public ::testing::Test {
 protected:
  GrpcActivationSinkTest()
      : device_(*Device::CreateCpu(1)),
        slots_(*MakeActivationSlots(kLarge * DTypeBytes(DType::kF32), *device_)) {
    Open(DType::kF32);
  }

  void Open(DType dtype) {
    sink_ = std::make_unique<GrpcActivationSink>(next_.address(), 7, dtype, slots_, *device_);
  }
  // `count` numbers, all of which say which step's they are.
  absl::Status Send(uint64_t step_id, int64_t count) {
    std::vector<float> values(count, static_cast<float>(step_id));
    return sink_->Send(step_id, F32View(values.data(), 1, count));
  }
  std::future<absl::Status> SendLater(std::vector<uint64_t> step_ids) {
    return std::async(std::launch::async, [this, step_ids] {
      absl::Status status;
      for (const uint64_t id : step_ids) status.Update(Send(id, kLarge));
      return status;
    });
  }

  NextStage next_;
  std::unique_ptr<Device> device_;
  ActivationSlots slots_;
  std::unique_ptr<GrpcActivationSink> sink_;
};

TEST_F(GrpcActivationSinkTest, StepsArriveInOrderWhateverTheirSizes) {
  next_.Take(0);
  const std::vector<int64_t> sizes = {kSmall, kLarge, kSmall, 1 << 15, 1 << 18, kSmall, kSmall};
  for (size_t i = 0; i < sizes.size(); ++i) EXPECT_OK(Send(i + 1, sizes[i]));
  EXPECT_OK(sink_->Finish());
  const auto arrived = next_.WaitForEnd();
  ASSERT_EQ(arrived.size(), sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_EQ(arrived[i].epoch(), 7u);
    EXPECT_EQ(arrived[i].step_id(), i + 1);
    ASSERT_EQ(arrived[i].hidden().size(), sizes[i] * sizeof(float));
    float last = 0;
    std::memcpy(&last, arrived[i].hidden().data() + (sizes[i] - 1) * sizeof(float), sizeof(last));
    EXPECT_EQ(last, static_cast<float>(i + 1));
  }
  EXPECT_THAT(Send(9, kSmall), StatusIs(absl::StatusCode::kUnavailable)) << "it is closed";
}

TEST_F(GrpcActivationSinkTest, SixteenBitsAreHalfAsMany) {
  Open(DType::kBF16);
  next_.Take(0);
  for (const int64_t count : {kSmall, kLarge}) EXPECT_OK(Send(3, count));
  EXPECT_OK(sink_->Finish());
  const auto arrived = next_.WaitForEnd();
  ASSERT_EQ(arrived.size(), 2u);
  EXPECT_EQ(arrived[1].hidden().size(), kLarge * 2u);
  float value = 0;
  ConvertNumbers(arrived[1].hidden().data(), DType::kBF16, 1, &value, DType::kF32);
  EXPECT_EQ(value, 3);
}

TEST_F(GrpcActivationSinkTest, TwoStepsAreOnTheirWayWhileTheNextIsComputed) {
  auto sent = SendLater({1, 2});
  EXPECT_EQ(sent.wait_for(kPatience), std::future_status::ready) << "the peer takes nothing yet";
  next_.Take(0);
  EXPECT_OK(sent.get());
  EXPECT_OK(Send(3, kLarge));
  EXPECT_OK(sink_->Finish());
  EXPECT_EQ(next_.WaitForEnd().size(), 3u);
}

TEST_F(GrpcActivationSinkTest, WhatCouldNotBeSentIsToldAfterwards) {
  next_.Take(1, {grpc::StatusCode::RESOURCE_EXHAUSTED, "too much"});
  absl::Status status;
  for (uint64_t id = 1; id < 100 && status.ok(); ++id) status = Send(id, kLarge);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable,
                               AllOf(HasSubstr(next_.address()), HasSubstr("too much"))));
  EXPECT_EQ(Send(100, kSmall), status);
  EXPECT_EQ(sink_->Finish(), status);
}

TEST_F(GrpcActivationSinkTest, FinishTellsWhatCouldNotBeSent) {
  next_.Take(1, {grpc::StatusCode::RESOURCE_EXHAUSTED, "too much"});
  EXPECT_OK(Send(1, kLarge));
  EXPECT_OK(Send(2, kLarge));
  EXPECT_THAT(sink_->Finish(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr(next_.address())));
}

TEST_F(GrpcActivationSinkTest, CancelEndsASendThatWaits) {
  auto sent = SendLater({1, 2, 3, 4});
  sink_->Cancel();
  EXPECT_EQ(sent.wait_for(kPatience), std::future_status::ready);
  EXPECT_THAT(sent.get(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(sink_->Finish(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(GrpcActivationSinkTest, CanBeGivenUpWithStepsOnTheirWay) {
  EXPECT_OK(Send(1, kLarge));
  EXPECT_OK(Send(2, kLarge));
  sink_ = nullptr;
  next_.Take(0);
}

}  // namespace
}  // namespace layercake
