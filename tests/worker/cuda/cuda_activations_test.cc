// A CUDA device's activations on their way over gRPC, the device emulated: streams that no event
// orders take turns by the seed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/golden_models/golden_models.h"
#include "tests/testing/emulated_device.h"
#include "tests/testing/next_stage.h"
#include "tests/testing/status_matchers.h"
#include "worker/engine/stage_executor.h"
#include "worker/kernels/convert.h"
#include "worker/kernels/elementwise.h"
#include "worker/transport/activation_queue.h"
#include "worker/transport/grpc_activation_sink.h"

namespace layercake {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr int64_t kRows = 600, kCols = 64;  // more than is small, in 16 bits too
constexpr int64_t kValues = kRows * kCols;
constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
constexpr uint64_t kSeeds = 20;

std::string Converted(const std::vector<float>& values, DType dtype) {
  std::string bytes(values.size() * DTypeBytes(dtype), '\0');
  ConvertNumbers(values.data(), DType::kF32, std::ssize(values), bytes.data(), dtype);
  return bytes;
}

class CudaActivationsTest : public ::testing::Test {
 protected:
  CudaActivationsTest()
      : device_(EmulatedDevice({.memory_bytes = 4 << 20})),
        hidden_(Upload(*device_, std::vector<float>(kValues))),
        ones_(Upload(*device_, std::vector<float>(kValues, 1))),
        slots_(*MakeActivationSlots(kValues * DTypeBytes(DType::kF32), *device_)) {}

  TensorView View(const Buffer& buffer, int64_t rows) const {
    return F32View(buffer.As<float>(), rows, kCols);
  }
  TensorView hidden(int64_t rows = kRows) const { return View(hidden_, rows); }
  // What a step does.
  void Add() { AddInPlace(hidden(), View(ones_, kRows), *device_); }

  std::unique_ptr<Device> device_;
  Buffer hidden_, ones_;
  ActivationSlots slots_;
};

// Every step overwrites what the one before sent, as soon as Send returns.
TEST_F(CudaActivationsTest, AreThoseOfTheirStep) {
  const std::vector<int64_t> rows = {kRows, 1, kRows, kRows - 1, 1, 1, kRows, kRows};
  float sum = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    simt::SetSeed(seed);
    const DType dtype = kDTypes[seed % std::size(kDTypes)];
    NextStage next;
    GrpcActivationSink sink(next.address(), 1, dtype, slots_, *device_);
    std::vector<std::string> expected;
    for (size_t i = 0; i < rows.size(); ++i) {
      Add();
      ASSERT_OK(device_->Finish());
      expected.push_back(Converted(std::vector<float>(rows[i] * kCols, ++sum), dtype));
      EXPECT_OK(sink.Send(i + 1, hidden(rows[i])));
      if (i == 1) next.Take(0);
    }
    EXPECT_OK(sink.Finish());
    const auto arrived = next.WaitForEnd();
    ASSERT_EQ(arrived.size(), rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(arrived[i].step_id(), i + 1);
      EXPECT_TRUE(arrived[i].hidden() == expected[i]) << "step " << i + 1 << ", seed " << seed;
    }
  }
}

TEST_F(CudaActivationsTest, AndComputingDoNotWaitForEachOther) {
  bool computed_first = false, copied_first = false;
  HostCopy& slot = *slots_[0];
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    simt::SetSeed(seed);
    slot.on_host()[0] = 'x';
    ConvertNumbers(hidden_.data(), DType::kF32, kValues, slot.on_device(), DType::kF32, *device_);
    slot.BeginToHost(kValues * DTypeBytes(DType::kF32));
    ASSERT_OK(device_->Finish());
    computed_first |= slot.on_host()[0] == 'x';
    ASSERT_OK(slot.Wait());
    EXPECT_EQ(slot.on_host()[0], '\0');
    slot.BeginToHost(1);
    const int64_t launches = simt::NumLaunches();
    Add();
    ASSERT_OK(slot.Wait());
    copied_first |= simt::NumLaunches() == launches;
    ASSERT_OK(device_->CopyFromHost(hidden(1), std::vector<float>(kCols).data(), kCols * 4));
  }
  EXPECT_TRUE(computed_first);
  EXPECT_TRUE(copied_first);
}

TEST_F(CudaActivationsTest, OfALinkThatWasGivenUpAreNotThoseOfTheNext) {
  float sum = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    simt::SetSeed(seed);
    NextStage gone, next;
    next.Take(0);
    for (NextStage* peer : {&gone, &next}) {
      for (const auto& slot : slots_) ASSERT_OK(slot->Wait());
      GrpcActivationSink sink(peer->address(), 1, DType::kF32, slots_, *device_);
      for (uint64_t step = 1; step <= 2; ++step) {
        Add();
        ++sum;
        EXPECT_OK(sink.Send(step, hidden()));
      }
      if (peer == &gone) continue;
      EXPECT_OK(sink.Finish());
      const auto arrived = next.WaitForEnd();
      ASSERT_EQ(arrived.size(), 2u);
      for (int i = 0; i < 2; ++i) {
        const std::vector<float> values(kValues, sum - 1 + static_cast<float>(i));
        EXPECT_TRUE(arrived[i].hidden() == Converted(values, DType::kF32));
      }
    }
  }
}

TEST_F(CudaActivationsTest, OfADeviceThatFailedEndTheLink) {
  NextStage next;
  next.Take(0);
  GrpcActivationSink sink(next.address(), 1, DType::kF16, slots_, *device_);
  EXPECT_OK(sink.Send(1, hidden(1)));
  simt::BreakDevice(0, cudaErrorECCUncorrectable);
  (void)sink.Send(2, hidden());
  EXPECT_THAT(sink.Finish(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("cudaErrorECCUncorrectable")));
  EXPECT_LE(next.WaitForEnd().size(), 1u) << "it ends though the sink is still there";
}

// The sums of steps that come in any number ahead of their turn, none of which is waited for.
TEST_F(CudaActivationsTest, ThatWereReceivedAreThoseOfTheirStep) {
  constexpr uint64_t kSteps = 12;
  constexpr int64_t kFew = 10, kFewValues = kFew * kCols;
  const Buffer sums = Upload(*device_, std::vector<float>(kFewValues));
  float expected = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    simt::SetSeed(seed);
    std::mt19937 random(static_cast<uint32_t>(seed));
    const DType dtype = kDTypes[seed % std::size(kDTypes)];
    ActivationQueue queue(dtype, slots_, *device_);
    uint64_t pushed = 0;
    for (uint64_t step = 1; step <= kSteps; ++step) {
      for (uint64_t until = std::min(kSteps, step + random() % 4); pushed < until;) {
        const std::vector<float> values(kFewValues, static_cast<float>(++pushed));
        ASSERT_OK(queue.Push(pushed, Converted(values, dtype)));
      }
      ASSERT_OK(queue.Receive(step, hidden(kFew)));
      AddInPlace(View(sums, kFew), hidden(kFew), *device_);
      expected += static_cast<float>(step);
    }
    EXPECT_THAT(Download(*device_, sums, kFewValues), Each(expected)) << "seed " << seed;
  }
}

TEST_F(CudaActivationsTest, ThatCameToAFailedDeviceAreItsStatus) {
  ActivationQueue queue(DType::kF32, slots_, *device_);
  const std::string ones = Converted(std::vector<float>(kValues, 1), DType::kF32);
  EXPECT_OK(queue.Push(1, ones));
  EXPECT_OK(queue.Receive(1, hidden()));
  EXPECT_OK(queue.Push(2, ones));
  simt::BreakDevice(0, cudaErrorECCUncorrectable);
  for (uint64_t step = 3; step <= 5; ++step) EXPECT_OK(queue.Push(step, ones));
  EXPECT_THAT(queue.Receive(2, hidden()),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("cudaErrorECCUncorrectable")));
  queue.Close(absl::AbortedError("unloaded"));
}

TEST_F(CudaActivationsTest, CloseEndsAWaitWithACopyOnItsWay) {
  ActivationQueue queue(DType::kBF16, slots_, *device_);
  const std::string ones = Converted(std::vector<float>(kValues, 1), DType::kBF16);
  EXPECT_OK(queue.Push(1, ones));
  EXPECT_OK(queue.Receive(1, hidden()));
  std::thread closer([&] {
    queue.Close(absl::AbortedError("unloaded"));
    EXPECT_THAT(queue.Push(2, ones), StatusIs(absl::StatusCode::kAborted));
  });
  EXPECT_THAT(queue.Receive(2, hidden()), StatusIs(absl::StatusCode::kAborted));
  closer.join();
  EXPECT_OK(device_->Finish());
}

// Links' threads copy and wait for copies while the engine's records a step.
TEST_F(CudaActivationsTest, DisturbNoRecording) {
  NextStage next;
  next.Take(0);
  GrpcActivationSink sink(next.address(), 1, DType::kF32, slots_, *device_);
  LC_ASSERT_OK_AND_ASSIGN(const ActivationSlots incoming,
                          MakeActivationSlots(kValues * DTypeBytes(DType::kF16), *device_));
  ActivationQueue queue(DType::kF16, incoming, *device_);
  const std::string twos = Converted(std::vector<float>(kValues, 2), DType::kF16);
  for (uint64_t step = 1; step <= kSeeds; ++step) {
    Add();
    EXPECT_OK(sink.Send(step, hidden()));
    LC_ASSERT_OK_AND_ASSIGN(const CudaGraph graph, AsCuda(*device_).Capture([&] {
      Add();
      std::thread([&] {
        EXPECT_OK(queue.Push(2 * step - 1, twos));
        EXPECT_OK(queue.Push(2 * step, twos));
        EXPECT_OK(slots_[0]->Wait());
        EXPECT_OK(slots_[1]->Wait());
      }).join();
      Add();
    }));
    for (const uint64_t id : {2 * step - 1, 2 * step}) {
      ASSERT_OK(queue.Receive(id, hidden()));
      AsCuda(*device_).Launch(graph);
      EXPECT_THAT(Download(*device_, hidden_, kValues), Each(4));
    }
  }
  EXPECT_OK(sink.Finish());
  EXPECT_EQ(next.WaitForEnd().size(), kSeeds);
}

TEST(CudaStageTest, TakesTheMemoryOfItsLinksWhenItLoads) {
  const auto device = EmulatedDevice();
  AsCuda(*device).set_use_graphs(false);
  LC_ASSERT_OK_AND_ASSIGN(const auto checkpoint,
                          Checkpoint::Open((GoldenModelsDirectory() / "llama-gqa").string()));
  StageShape shape = {.range = {1, 1, false, false}, .num_blocks = 4};
  shape.limits.max_context_tokens = 64;
  shape.limits.max_step_tokens = 4096;  // links take more than all else
  const int64_t free_bytes = device->Memory().free_bytes;
  LC_ASSERT_OK_AND_ASSIGN(const auto stage,
                          StageExecutor::Load(*checkpoint, shape, *device, *Clock::Real(),
                                              [](int64_t, int64_t) { return true; }));
  const int64_t left_bytes = device->Memory().free_bytes;
  const int64_t promised = CountStageBytes(checkpoint->config(), shape).total();
  EXPECT_GE(free_bytes - left_bytes, promised);
  EXPECT_LE(free_bytes - left_bytes, promised + 30 * 256) << "as much as each buffer may round up";

  for (uint64_t epoch = 1; epoch <= 3; ++epoch) {
    NextStage next;
    next.Take(0);
    stage->StartEpoch(epoch);
    ActivationQueue source(DType::kF32, stage->incoming(), *device);
    GrpcActivationSink sink(next.address(), epoch, DType::kF32, stage->outgoing(), *device);
    const int32_t block = 1, ids[] = {1, 2};
    StepRequest step = {.epoch = epoch, .step_id = 1, .token_ids = ids};
    step.slices.push_back({.view = {0, 2, {&block, 1}}});
    ASSERT_OK(source.Push(1, std::string(2 * checkpoint->config().hidden_dim * 4, '\0')));
    EXPECT_OK(stage->Run(step, {&source, &sink}));
    EXPECT_OK(sink.Finish());
    EXPECT_EQ(next.WaitForEnd().size(), 1u);
    EXPECT_EQ(device->Memory().free_bytes, left_bytes);
  }
}

}  // namespace
}  // namespace layercake
