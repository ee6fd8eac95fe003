// When work is recorded and replayed, seen from the emulated runtime.

#include "worker/device/cuda_graphs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "common/model/costs.h"
#include "tests/golden_models/golden_models.h"
#include "tests/testing/emulated_device.h"
#include "tests/testing/stage_pipeline.h"
#include "tests/testing/status_matchers.h"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

constexpr int kCount = 64;
constexpr int64_t kMemoryBytes = 256 << 20;

// Breaks CUDA's rules once the sums exceed `limit`.
__global__ void AddOne(float* x, float limit) {
  if (x[threadIdx.x] >= limit && threadIdx.x > 3) __syncthreads();
  x[threadIdx.x] += 1;
}

class CudaGraphsTest : public ::testing::Test {
 protected:
  CudaGraphsTest()
      : device_(EmulatedDevice({.memory_bytes = kMemoryBytes})),
        sums_(Upload(*device_, std::vector<float>(kCount))),
        graphs_(std::make_unique<CudaGraphs>(AsCuda(*device_))),
        before_(simt::CountGraphs()) {}

  void Add() {
    AsCuda(*device_).Record(Launch("add_one", AddOne, 1, kCount, 0, AsCuda(*device_).stream(),
                                   sums_.As<float>(), limit_),
                            "adding");
  }
  // Two kernels, known by `key`.
  void Run(uint64_t key) {
    graphs_->Run(key, [&] {
      Add();
      Add();
    });
  }
  std::vector<float> Sums() { return Download(*device_, sums_, kCount); }
  // Since the test began.
  int64_t Captures() const { return simt::CountGraphs().captures - before_.captures; }
  int64_t Launches() const { return simt::CountGraphs().launches - before_.launches; }
  int64_t Issued() const { return simt::CountGraphs().issued - before_.issued; }
  static int64_t Alive() { return simt::CountGraphs().alive; }

  float limit_ = 1e9;
  std::unique_ptr<Device> device_;
  Buffer sums_;
  std::unique_ptr<CudaGraphs> graphs_;
  const simt::GraphCounts before_;
};

TEST_F(CudaGraphsTest, RecordAtTheSecondRunAndLaunchFromThen) {
  Run(7);
  EXPECT_EQ(Captures(), 0);
  EXPECT_EQ(Issued(), 2);
  for (int i = 0; i < 5; ++i) Run(7);
  EXPECT_EQ(Captures(), 1);
  EXPECT_EQ(Launches(), 5);
  EXPECT_EQ(Issued(), 2 + 5);
  EXPECT_THAT(Sums(), Each(12));
}

TEST_F(CudaGraphsTest, KeysHaveTheirOwn) {
  for (int i = 0; i < 3; ++i) {
    Run(1);
    graphs_->Run(2, [&] { Add(); });
  }
  EXPECT_EQ(Alive(), 2);
  EXPECT_THAT(Sums(), Each(9));
}

TEST_F(CudaGraphsTest, AreNeverMoreThanTheirBoundAndGiveWayWhenIdle) {
  constexpr auto kMost = static_cast<int64_t>(CudaGraphs::kMaxGraphs);
  constexpr int64_t kKeys = 3 * kMost;
  int64_t runs = 0;
  for (int i = 0; i < 3; ++i) {
    for (int64_t key = 0; key < kKeys; ++key, ++runs) Run(key);
  }
  EXPECT_EQ(Alive(), kMost);
  EXPECT_EQ(Captures(), kMost) << "they would push one another out for ever";
  for (int64_t i = 0; i < CudaGraphs::kIdleRuns; ++i, ++runs) Run(kKeys - 1);
  EXPECT_EQ(Captures(), kMost + 1) << "those of before are idle by now";
  EXPECT_EQ(Alive(), kMost);
  EXPECT_THAT(Sums(), Each(2 * runs));
}

TEST_F(CudaGraphsTest, KeepToTheirPartOfTheReserve) {
  constexpr int64_t kSmall = 16 << 20;
  AsCuda(*device_).set_usable_bytes(kSmall);
  graphs_ = std::make_unique<CudaGraphs>(AsCuda(*device_));
  const int64_t free_bytes = device_->Memory().free_bytes;
  const int64_t keys = CudaGraphs::kMaxGraphs;
  const auto run_all = [&] {
    for (int64_t key = 0; key < keys; ++key) Run(key);
  };
  for (int i = 0; i < 4; ++i) run_all();
  const int64_t most = Alive();
  const int64_t refused = 1 + CudaGraphs::kSecondTries;
  EXPECT_GT(most, 2);
  EXPECT_EQ(Captures(), most + refused) << "what is too much is given back, in the end for good";
  EXPECT_LE(free_bytes - device_->Memory().free_bytes, GraphBytes(kSmall));
  EXPECT_GT(free_bytes - device_->Memory().free_bytes, GraphBytes(kSmall) / 2);
  for (int64_t i = 0; i < CudaGraphs::kIdleRuns; ++i) Run(keys - 1);
  EXPECT_EQ(Captures(), most + refused + 1);
  EXPECT_EQ(Alive(), most) << "one that was idle made way";
  EXPECT_THAT(Sums(), Each(2 * (4 * keys + CudaGraphs::kIdleRuns)));
}

TEST_F(CudaGraphsTest, WhatOthersTakeMeanwhileIsNotTheirs) {
  Buffer others;
  Run(1);
  graphs_->Run(1, [&] {
    Add();
    Add();
    if (others.data() != nullptr) return;
    std::thread([&] {
      auto buffer = device_->Allocate(kMemoryBytes / 2, "another thread");
      CHECK(buffer.ok()) << buffer.status();
      others = *std::move(buffer);
    }).join();
  });
  EXPECT_EQ(Alive(), 0) << "it may have taken all that";
  for (int i = 0; i < 2; ++i) Run(1);
  EXPECT_EQ(Alive(), 1);
  EXPECT_THAT(Sums(), Each(2 * 4));
}

TEST_F(CudaGraphsTest, ManyShapesOfOneRunAreForgotten) {
  Run(0);
  for (uint64_t key = 1; key < 1000; ++key) Run(key);
  Run(0);
  EXPECT_EQ(Captures(), 0);
  EXPECT_THAT(Sums(), Each(2002));
}

TEST_F(CudaGraphsTest, GiveTheirMemoryBack) {
  EXPECT_THAT(Sums(), Each(0));
  const int64_t free_bytes = device_->Memory().free_bytes;
  for (int i = 0; i < 2; ++i) Run(1);
  EXPECT_LT(device_->Memory().free_bytes, free_bytes);
  graphs_->Clear();
  EXPECT_EQ(device_->Memory().free_bytes, free_bytes);
  Run(1);
  EXPECT_EQ(Captures(), 1) << "it is a first run again";
  Run(1);
  graphs_ = nullptr;
  EXPECT_EQ(device_->Memory().free_bytes, free_bytes);
  EXPECT_THAT(Sums(), Each(8)) << "what was launched is done";
}

TEST_F(CudaGraphsTest, WhereCudaRefusesKernelsAreLaunched) {
  for (const auto call : {simt::GraphCall::kBeginCapture, simt::GraphCall::kEndCapture,
                          simt::GraphCall::kInstantiate}) {
    graphs_ = std::make_unique<CudaGraphs>(AsCuda(*device_));
    for (int i = 0; i < 3; ++i) Run(1);
    EXPECT_EQ(Alive(), 1);
    simt::RefuseGraphs(call, cudaErrorStreamCaptureUnsupported);
    const int64_t launches = Launches(), issued = Issued();
    for (int i = 0; i < 3; ++i) Run(2);
    Run(1);
    EXPECT_EQ(Launches(), launches + 1) << "those that are there go on";
    EXPECT_EQ(Issued(), issued + 3 * 2 + 1);
    EXPECT_OK(device_->Finish());
    simt::RefuseGraphs(call, cudaSuccess);
    Run(2);
    EXPECT_EQ(Issued(), issued + 4 * 2 + 1) << "it is not asked again and again";
  }
  EXPECT_THAT(Sums(), Each(3 * 2 * 8));
}

TEST_F(CudaGraphsTest, NoMemoryForAGraphIsNoFailure) {
  const int64_t rest = device_->Memory().free_bytes - (8 << 10);
  LC_ASSERT_OK_AND_ASSIGN(const Buffer buffer, device_->Allocate(rest, "all but a little"));
  for (int i = 0; i < 4; ++i) Run(1);
  EXPECT_EQ(Alive(), 0);
  EXPECT_THAT(Sums(), Each(8));
}

TEST_F(CudaGraphsTest, WhatCannotBeRecordedIsDoneAllTheSame) {
  for (int i = 0; i < 3; ++i) {
    graphs_->Run(1, [&] {
      Add();
      (void)device_->Finish();
      Add();
    });
  }
  EXPECT_EQ(Launches(), 0);
  EXPECT_OK(device_->status());
  EXPECT_THAT(Sums(), Each(6));
}

TEST_F(CudaGraphsTest, ALaunchThatFailsIsTheDevicesStatus) {
  for (int i = 0; i < 2; ++i) Run(1);
  simt::RefuseGraphs(simt::GraphCall::kLaunch, cudaErrorInvalidValue);
  Run(1);
  EXPECT_THAT(device_->status(),
              StatusIs(absl::StatusCode::kInternal,
                       AllOf(HasSubstr("replaying a step"), HasSubstr("cudaErrorInvalidValue"))));
}

TEST_F(CudaGraphsTest, AKernelThatFailsInAReplayIsTheDevicesStatus) {
  limit_ = 6;
  for (int i = 0; i < 3; ++i) Run(1);
  EXPECT_OK(device_->Finish());
  Run(1);
  EXPECT_THAT(device_->Finish(), StatusIs(absl::StatusCode::kInternal, HasSubstr("add_one")));
  Run(1);
  Run(2);
  Run(2);
  EXPECT_THAT(device_->status(), StatusIs(absl::StatusCode::kInternal, HasSubstr("add_one")));
}

TEST_F(CudaGraphsTest, ADeviceThatIsLostWhileRecordingSaysSo) {
  Run(1);
  graphs_->Run(1, [&] {
    Add();
    simt::BreakDevice(0, cudaErrorECCUncorrectable);
    Add();
  });
  EXPECT_THAT(device_->Finish(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("cudaErrorECCUncorrectable")));
  EXPECT_EQ(Alive(), 0);
}

// A decoder's steps, one sequence of one token each.
class DecoderGraphsTest : public CudaGraphsTest {
 protected:
  static constexpr int64_t kBlocks = 20;

  void SetUp() override {
    graphs_ = nullptr;
    LC_ASSERT_OK_AND_ASSIGN(checkpoint_,
                            Checkpoint::Open((GoldenModelsDirectory() / "llama-gqa").string()));
    limits_.max_step_tokens = 8;
    limits_.max_context_tokens = kBlocks * limits_.block_size_tokens;
    std::iota(blocks_.begin(), blocks_.end(), 0);
  }
  std::unique_ptr<Decoder> LoadDecoder() {
    auto decoder = Decoder::Load(*checkpoint_, {0, checkpoint_->config().num_layers, true, true},
                                 limits_, *device_, [](int64_t, int64_t) { return true; });
    CHECK(decoder.ok()) << decoder.status();
    return *std::move(decoder);
  }
  std::unique_ptr<KvCache> MakeKv() {
    auto kv = KvCache::Create(checkpoint_->config(), checkpoint_->config().num_layers, limits_,
                              kBlocks, *device_);
    CHECK(kv.ok()) << kv.status();
    return *std::move(kv);
  }
  // The logits after each of `tokens` tokens.
  std::vector<std::vector<float>> Steps(Decoder& decoder, const KvCache& kv, int64_t tokens) {
    std::vector<std::vector<float>> all;
    for (int64_t i = 0; i < tokens; ++i) {
      const int32_t id = static_cast<int32_t>(3 * i % 200);
      const SliceView slice = {i, 1, blocks_};
      CHECK(decoder.Embed({&id, 1}).ok());
      CHECK(decoder.Forward({&slice, 1}, kv.layers()).ok());
      const int32_t row = 0;
      const auto logits = decoder.Logits({&row, 1});
      CHECK(logits.ok()) << logits.status();
      std::vector<float>& values = all.emplace_back(logits->cols);
      CHECK(device_->CopyToHost(values.data(), *logits, logits->cols * 4).ok());
    }
    return all;
  }

  std::unique_ptr<Checkpoint> checkpoint_;
  StageLimits limits_;
  std::vector<int32_t> blocks_ = std::vector<int32_t>(kBlocks);
};

TEST_F(DecoderGraphsTest, AStepIsAFewLaunches) {
  const auto decoder = LoadDecoder();
  const auto kv = MakeKv();
  AsCuda(*device_).set_use_graphs(false);
  const auto plain = LoadDecoder();
  const int64_t issued = Issued();
  const auto expected = Steps(*plain, *kv, 10);
  const int64_t issued_plain = Issued() - issued;
  EXPECT_EQ(Captures(), 0);
  EXPECT_TRUE(Steps(*decoder, *kv, 10) == expected);
  EXPECT_EQ(Launches(), 9);
  // The embedding, the layers, the head's norm and product.
  EXPECT_EQ(Issued() - issued - issued_plain, issued_plain / 10 + 9 * 4);
}

TEST_F(DecoderGraphsTest, ContextsTakeFewGraphs) {
  const auto decoder = LoadDecoder();
  const auto kv = MakeKv();
  Steps(*decoder, *kv, 140);
  // Of contexts up to 128 and to 256 tokens.
  EXPECT_EQ(Alive(), 2);
  EXPECT_EQ(Launches(), 140 - 2);
}

TEST_F(DecoderGraphsTest, AnotherCacheIsNotTakenForTheOneBefore) {
  const auto decoder = LoadDecoder();
  auto kv = MakeKv();
  const auto expected = Steps(*decoder, *kv, 4);
  const auto other = MakeKv();
  EXPECT_TRUE(Steps(*decoder, *other, 4) == expected);
  kv = nullptr;
  EXPECT_TRUE(Steps(*decoder, *other, 4) == expected);
  EXPECT_EQ(Captures(), 2);
}

}  // namespace
}  // namespace layercake
