#include "worker/transport/activation_queue.h"

#include <thread>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "worker/kernels/convert.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

std::string Bytes(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

class ActivationQueueTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LC_ASSERT_OK_AND_ASSIGN(device_, Device::CreateCpu(1));
    LC_ASSERT_OK_AND_ASSIGN(slots_, MakeActivationSlots(64, *device_));
  }

  std::unique_ptr<Device> device_;
  ActivationSlots slots_;
  std::vector<float> values_ = {0, 0};
  const TensorView view_ = F32View(values_.data(), 1, 2);
};

TEST_F(ActivationQueueTest, ActivationsComeInOrder) {
  ActivationQueue queue(DType::kF32, slots_, *device_);
  ASSERT_OK(queue.Push(1, Bytes({1, 2})));
  ASSERT_OK(queue.Push(2, Bytes({3, 4})));
  ASSERT_OK(queue.Receive(1, view_));
  EXPECT_THAT(values_, ElementsAre(1, 2));
  ASSERT_OK(queue.Receive(2, view_));
  EXPECT_THAT(values_, ElementsAre(3, 4));
}

TEST_F(ActivationQueueTest, SixteenBitsBecomeNumbers) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    ActivationQueue queue(dtype, slots_, *device_);
    const std::vector<float> values = {-1.5f, 1024};
    std::string sent(values.size() * DTypeBytes(dtype), '\0');
    ConvertNumbers(values.data(), DType::kF32, std::ssize(values), sent.data(), dtype);
    ASSERT_OK(queue.Push(1, sent));
    ASSERT_OK(queue.Receive(1, view_));
    EXPECT_THAT(values_, ElementsAreArray(values));
    ASSERT_OK(queue.Push(2, Bytes({1, 2})));
    EXPECT_THAT(queue.Receive(2, view_),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("8 bytes; 1 tokens of 2")));
  }
}

TEST_F(ActivationQueueTest, ReceiveWaitsForAPush) {
  ActivationQueue queue(DType::kF32, slots_, *device_);
  std::thread pusher([&] { EXPECT_OK(queue.Push(1, Bytes({5, 6}))); });
  EXPECT_OK(queue.Receive(1, view_));
  pusher.join();
  EXPECT_THAT(values_, ElementsAre(5, 6));
}

TEST_F(ActivationQueueTest, MoreMayComeThanThereAreSlots) {
  ActivationQueue queue(DType::kF32, slots_, *device_);
  const auto push = [&](int step) {
    const auto value = static_cast<float>(step);
    ASSERT_OK(queue.Push(step, Bytes({value, -value})));
  };
  for (int step = 1; step <= 5; ++step) push(step);
  for (int step = 1; step <= 12; ++step) {
    ASSERT_OK(queue.Receive(step, view_));
    EXPECT_THAT(values_, ElementsAre(step, -step));
    if (step % 3 == 0) continue;  // those behind become fewer
    push(5 + step - step / 3);
  }
}

TEST_F(ActivationQueueTest, AnotherStepOrSizeIsDataLoss) {
  ActivationQueue queue(DType::kF32, slots_, *device_);
  ASSERT_OK(queue.Push(2, Bytes({1, 2})));
  EXPECT_THAT(queue.Receive(1, view_),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("step 2"), HasSubstr("step 1 were due"))));
  ASSERT_OK(queue.Push(1, Bytes({1, 2, 3})));
  EXPECT_THAT(queue.Receive(1, view_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("12 bytes; 1 tokens of 2")));
  ASSERT_OK(queue.Push(1, std::string(1000, 'x')));
  EXPECT_THAT(queue.Receive(1, view_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("1000 bytes; 1 tokens of 2")))
      << "more than a slot holds";
}

TEST_F(ActivationQueueTest, TheEndOfTheStreamComesAfterWhatHasArrived) {
  ActivationQueue queue(DType::kF32, slots_, *device_);
  ASSERT_OK(queue.Push(1, Bytes({1, 2})));
  queue.EndOfStream(absl::UnavailableError("peer gone"));
  queue.EndOfStream(absl::UnavailableError("another reason"));
  EXPECT_OK(queue.Receive(1, view_));
  EXPECT_THAT(queue.Receive(2, view_),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("peer gone")));
}

TEST_F(ActivationQueueTest, CloseEndsAWaitAndWhatComesAfter) {
  ActivationQueue queue(DType::kF32, slots_, *device_);
  std::thread closer([&] { queue.Close(absl::AbortedError("unloaded")); });
  EXPECT_THAT(queue.Receive(1, view_), StatusIs(absl::StatusCode::kAborted));
  closer.join();
  EXPECT_THAT(queue.Push(1, Bytes({1, 2})),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("unloaded")));
}

TEST_F(ActivationQueueTest, WhatPilesUpIsBounded) {
  ActivationQueue queue(DType::kF32, slots_, *device_);
  for (size_t i = 0; i < ActivationQueue::kMaxWaiting; ++i) ASSERT_OK(queue.Push(i + 1, "x"));
  EXPECT_THAT(queue.Push(1, "x"), StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace layercake
