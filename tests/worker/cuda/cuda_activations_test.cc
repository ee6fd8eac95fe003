// A CUDA device's activations on their way over gRPC, the device emulated.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/testing/emulated_device.h"
#include "tests/testing/next_stage.h"
#include "tests/testing/status_matchers.h"
#include "worker/kernels/convert.h"
#include "worker/kernels/elementwise.h"
#include "worker/transport/activation_queue.h"
#include "worker/transport/grpc_activation_sink.h"

namespace layercake {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr int64_t kRows = 300, kCols = 64;  // more than is small
constexpr int64_t kValues = kRows * kCols;

class CudaActivationsTest : public ::testing::Test {
 protected:
  CudaActivationsTest()
      : device_(EmulatedDevice({.memory_bytes = 4 << 20})),
        hidden_(Upload(*device_, std::vector<float>(kValues))),
        ones_(Upload(*device_, std::vector<float>(kValues, 1))) {
    auto sink = GrpcActivationSink::Create(next_.address(), 1, DType::kF32, kValues, *device_);
    CHECK(sink.ok()) << sink.status();
    sink_ = *std::move(sink);
  }
  TensorView View(const Buffer& buffer, int64_t rows) const {
    return F32View(buffer.As<float>(), rows, kCols);
  }
  static std::vector<float> Numbers(const v1::Activation& activation) {
    std::vector<float> values(activation.hidden().size() / sizeof(float));
    std::memcpy(values.data(), activation.hidden().data(), activation.hidden().size());
    return values;
  }

  NextStage next_;
  std::unique_ptr<Device> device_;
  Buffer hidden_, ones_;
  std::unique_ptr<GrpcActivationSink> sink_;
};

// Every step overwrites what the one before sent, as soon as Send returns.
TEST_F(CudaActivationsTest, AreThoseOfTheirStep) {
  next_.Take(0);
  const std::vector<int64_t> rows = {kRows, 1, kRows, kRows - 1, 1, 1, kRows};
  for (size_t i = 0; i < rows.size(); ++i) {
    AddInPlace(View(hidden_, kRows), View(ones_, kRows), *device_);
    EXPECT_OK(sink_->Send(i + 1, View(hidden_, rows[i])));
  }
  EXPECT_OK(sink_->Finish());
  const auto arrived = next_.WaitForEnd();
  ASSERT_EQ(arrived.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(arrived[i].step_id(), i + 1);
    ASSERT_EQ(Numbers(arrived[i]).size(), static_cast<size_t>(rows[i] * kCols));
    EXPECT_THAT(Numbers(arrived[i]), Each(static_cast<float>(i + 1)));
  }
}

TEST_F(CudaActivationsTest, OfADeviceThatFailedEndTheLink) {
  next_.Take(0);
  EXPECT_OK(sink_->Send(1, View(hidden_, 1)));
  simt::BreakDevice(0, cudaErrorECCUncorrectable);
  (void)sink_->Send(2, View(hidden_, kRows));
  EXPECT_THAT(sink_->Finish(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("cudaErrorECCUncorrectable")));
  EXPECT_LE(next_.WaitForEnd().size(), 1u) << "it ends though the sink is still there";
}

TEST_F(CudaActivationsTest, ThatWereReceivedAreInPlaceBeforeWhatIsIssuedNext) {
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    ActivationQueue queue(dtype, *device_);
    const std::vector<float> values(kValues, 2);
    std::string bytes(kValues * DTypeBytes(dtype), '\0');
    ConvertNumbers(values.data(), DType::kF32, kValues, bytes.data(), dtype);
    for (uint64_t step = 1; step <= 4; ++step) {
      ASSERT_OK(queue.Push(step, bytes));
      ASSERT_OK(queue.Receive(step, View(hidden_, kRows)));
      AddInPlace(View(hidden_, kRows), View(ones_, kRows), *device_);
    }
    EXPECT_THAT(Download(*device_, hidden_, kValues), Each(3));
  }
}

}  // namespace
}  // namespace layercake
