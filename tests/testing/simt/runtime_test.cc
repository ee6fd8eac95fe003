#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <thread>
#include <vector>

#include "cuda_runtime_api.h"
#include "tests/testing/simt/emulation.h"
#include "worker/kernels/simt.cuh"

namespace layercake::simt {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

__global__ void AddOne(float* x, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += 1;
}

__global__ void Diverge(int) {
  if (threadIdx.x > 3) __syncthreads();
}

class RuntimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SetDevices({{.memory_bytes = 1 << 20}, {.major = 5, .minor = 2, .memory_bytes = 4096}});
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), cudaSuccess);
    ASSERT_EQ(cudaHostAlloc(reinterpret_cast<void**>(&pinned_), 400, cudaHostAllocDefault),
              cudaSuccess);
    ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), 400), cudaSuccess);
  }
  void TearDown() override {
    (void)cudaFree(data_);
    (void)cudaFreeHost(pinned_);
    EXPECT_EQ(cudaEventDestroy(event_), cudaSuccess);
    (void)cudaStreamDestroy(stream_);
  }
  void Upload() {
    ASSERT_EQ(cudaMemcpyAsync(data_, pinned_, 400, cudaMemcpyHostToDevice, stream_), cudaSuccess);
  }
  void Add() { ASSERT_EQ(Launch("add_one", AddOne, 2, 64, 0, stream_, data_, 100), cudaSuccess); }
  std::vector<float> Download() {
    std::vector<float> values(100);
    EXPECT_EQ(cudaMemcpyAsync(values.data(), data_, 400, cudaMemcpyDeviceToHost, stream_),
              cudaSuccess);
    return values;
  }

  // What ends a capture of nothing but `during`.
  cudaError_t Capture(cudaStreamCaptureMode mode, const std::function<void()>& during) {
    EXPECT_EQ(cudaStreamBeginCapture(stream_, mode), cudaSuccess);
    during();
    cudaGraph_t graph = nullptr;
    const cudaError_t error = cudaStreamEndCapture(stream_, &graph);
    EXPECT_EQ(graph == nullptr, error != cudaSuccess);
    if (graph != nullptr) (void)cudaGraphDestroy(graph);
    return error;
  }
  cudaGraphExec_t MakeGraph() {
    EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    Add();
    cudaGraph_t graph;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
    cudaGraphExec_t exec = nullptr;
    made_ = cudaGraphInstantiate(&exec, graph);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    return exec;
  }

  cudaError_t made_ = cudaSuccess;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t event_ = nullptr;
  float* pinned_ = nullptr;
  float* data_ = nullptr;
};

TEST_F(RuntimeTest, WorkOfAStreamIsDoneInOrderAndLate) {
  std::fill_n(pinned_, 100, 1.0f);
  Upload();
  Add();
  std::fill_n(pinned_, 100, 5.0f);  // before the copy was waited for
  EXPECT_THAT(Download(), Each(6));
}

TEST_F(RuntimeTest, EventsSayWhenPinnedMemoryIsFreeAgain) {
  std::fill_n(pinned_, 100, 1.0f);
  Upload();
  ASSERT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
  ASSERT_EQ(cudaEventSynchronize(event_), cudaSuccess);
  std::fill_n(pinned_, 100, 5.0f);
  EXPECT_THAT(Download(), Each(1));
}

// What a stream copies out while another one adds, once or with an event between them.
TEST_F(RuntimeTest, StreamsTakeTurnsUnlessAnEventOrdersThem) {
  cudaStream_t other = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  const auto copied = [&](bool wait) {
    std::fill_n(pinned_, 100, 0.0f);
    Upload();
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    Add();
    EXPECT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
    if (wait) {
      EXPECT_EQ(cudaStreamWaitEvent(other, event_), cudaSuccess);
    }
    Add();
    EXPECT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
    EXPECT_EQ(cudaMemcpyAsync(pinned_, data_, 400, cudaMemcpyDeviceToHost, other), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(other), cudaSuccess);
    return pinned_[99];
  };
  std::set<float> free, ordered;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SetSeed(seed);
    free.insert(copied(false));
    ordered.insert(copied(true));
  }
  EXPECT_THAT(free, ElementsAre(0, 1, 2));
  EXPECT_THAT(ordered, ElementsAre(1, 2)) << "of the recording that was the last then";
  EXPECT_EQ(cudaStreamDestroy(other), cudaSuccess);
}

TEST_F(RuntimeTest, ACaptureCannotWaitForWhatIsOutsideOfIt) {
  ASSERT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
  EXPECT_EQ(Capture(cudaStreamCaptureModeThreadLocal,
                    [&] {
                      EXPECT_EQ(cudaStreamWaitEvent(stream_, event_),
                                cudaErrorStreamCaptureIsolation);
                    }),
            cudaErrorStreamCaptureInvalidated);
}

TEST_F(RuntimeTest, GraphsDoAgainWhatWasCaptured) {
  std::fill_n(pinned_, 100, 0.0f);
  Upload();
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  Add();
  Add();
  cudaGraph_t graph;
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  cudaGraphExec_t exec;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  EXPECT_THAT(Download(), Each(0));
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_THAT(Download(), Each(6));
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(RuntimeTest, WaitingWhileCapturingBreaksTheCapture) {
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorStreamCaptureUnsupported);
  cudaGraph_t graph;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
}

TEST_F(RuntimeTest, UnsafeCallsBreakTheCapturesThatForbidThem) {
  const auto allocate = [] {
    void* data = nullptr;
    const cudaError_t error = cudaMalloc(&data, 256);
    (void)cudaFree(data);
    return error;
  };
  const auto here = [&] { EXPECT_EQ(allocate(), cudaErrorStreamCaptureUnsupported); };
  const auto elsewhere = [&](cudaError_t expected) {
    return [=] { std::thread([=] { EXPECT_EQ(allocate(), expected); }).join(); };
  };
  EXPECT_EQ(Capture(cudaStreamCaptureModeThreadLocal, here), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(Capture(cudaStreamCaptureModeThreadLocal, elsewhere(cudaSuccess)), cudaSuccess);
  EXPECT_EQ(Capture(cudaStreamCaptureModeGlobal, elsewhere(cudaErrorStreamCaptureUnsupported)),
            cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(Capture(cudaStreamCaptureModeRelaxed, [&] { EXPECT_EQ(allocate(), cudaSuccess); }),
            cudaSuccess);
}

TEST_F(RuntimeTest, EventsRecordedWhileCapturingCannotBeWaitedFor) {
  EXPECT_EQ(Capture(cudaStreamCaptureModeThreadLocal,
                    [&] { EXPECT_EQ(cudaEventRecord(event_, stream_), cudaSuccess); }),
            cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event_), cudaErrorCapturedEvent);
  ASSERT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event_), cudaSuccess);
}

TEST_F(RuntimeTest, AnotherThreadMayWaitForWhatCameBeforeTheCapture) {
  std::fill_n(pinned_, 100, 1.0f);
  Upload();
  ASSERT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
  EXPECT_EQ(
      Capture(cudaStreamCaptureModeThreadLocal,
              [&] {
                Add();
                std::thread([&] { EXPECT_EQ(cudaEventSynchronize(event_), cudaSuccess); }).join();
                std::fill_n(pinned_, 100, 5.0f);
              }),
      cudaSuccess);
  EXPECT_THAT(Download(), Each(1));
  EXPECT_EQ(
      Capture(cudaStreamCaptureModeThreadLocal,
              [&] { EXPECT_EQ(cudaEventSynchronize(event_), cudaErrorStreamCaptureUnsupported); }),
      cudaErrorStreamCaptureInvalidated);
}

TEST_F(RuntimeTest, CapturesAreBegunAndEndedOnceAndByOneThread) {
  cudaGraph_t graph;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorIllegalState);
  EXPECT_EQ(Capture(cudaStreamCaptureModeThreadLocal,
                    [&] {
                      EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal),
                                cudaErrorIllegalState);
                      std::thread([&] {
                        EXPECT_EQ(cudaStreamEndCapture(stream_, &graph),
                                  cudaErrorStreamCaptureWrongThread);
                      }).join();
                    }),
            cudaSuccess);
}

TEST_F(RuntimeTest, GraphsTakeMemoryAreCountedAndCanBeRefused) {
  size_t before = 0, after = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&before, &total), cudaSuccess);
  const GraphCounts counts = CountGraphs();
  cudaGraphExec_t exec = MakeGraph();
  ASSERT_EQ(made_, cudaSuccess);
  ASSERT_EQ(cudaGraphUpload(exec, stream_), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&after, &total), cudaSuccess);
  EXPECT_LT(after, before);
  EXPECT_EQ(CountGraphs().alive, counts.alive + 1);
  EXPECT_EQ(CountGraphs().issued, counts.issued);
  ASSERT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  Add();
  EXPECT_EQ(CountGraphs().issued, counts.issued + 2);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&after, &total), cudaSuccess);
  EXPECT_EQ(after, before);
  RefuseGraphs(GraphCall::kInstantiate, cudaErrorMemoryAllocation);
  EXPECT_EQ(MakeGraph(), nullptr);
  EXPECT_EQ(made_, cudaErrorMemoryAllocation);
  EXPECT_EQ(CountGraphs().alive, counts.alive);
}

TEST_F(RuntimeTest, MemoryIsWhatTheDeviceHas) {
  size_t free = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(total, 1u << 20);
  EXPECT_EQ(free, (1u << 20) - 512);
  void* more = nullptr;
  EXPECT_EQ(cudaMalloc(&more, 1 << 20), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&more, (1 << 20) - 512), cudaSuccess);
  EXPECT_EQ(cudaFree(more), cudaSuccess);
  EXPECT_EQ(cudaFree(pinned_), cudaErrorInvalidValue);
}

TEST_F(RuntimeTest, BadLaunchesAreRefused) {
  EXPECT_EQ(Launch("add_one", AddOne, 1, 1025, 0, stream_, data_, 100),
            cudaErrorInvalidConfiguration);
  EXPECT_EQ(Launch("add_one", AddOne, 0, 32, 0, stream_, data_, 100),
            cudaErrorInvalidConfiguration);
  EXPECT_EQ(Launch("add_one", AddOne, 1, 32, 1 << 20, stream_, data_, 100), cudaErrorInvalidValue);
}

TEST_F(RuntimeTest, OldDevicesGiveABlockLessSharedMemory) {
  constexpr size_t kBytes = 64 << 10;
  EXPECT_EQ(Launch("add_one", AddOne, 2, 64, kBytes, stream_, data_, 100), cudaSuccess);
  cudaStream_t old = nullptr;
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  ASSERT_EQ(cudaStreamCreateWithFlags(&old, cudaStreamNonBlocking), cudaSuccess);
  EXPECT_EQ(Launch("add_one", AddOne, 2, 64, kBytes, old, data_, 100), cudaErrorInvalidValue);
  ASSERT_EQ(cudaStreamDestroy(old), cudaSuccess);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
}

TEST_F(RuntimeTest, AKernelThatFailsBreaksTheDeviceAndIsReported) {
  ASSERT_EQ(Launch("diverge", Diverge, 1, 32, 0, stream_, 0), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorLaunchFailure);
  EXPECT_THAT(cudaGetErrorString(cudaErrorLaunchFailure),
              AllOf(HasSubstr("kernel diverge"), HasSubstr("__syncthreads")));
  EXPECT_EQ(Launch("add_one", AddOne, 2, 64, 0, stream_, data_, 100), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
}

TEST_F(RuntimeTest, ABrokenDeviceStaysBroken) {
  BreakDevice(0, cudaErrorECCUncorrectable);
  void* more = nullptr;
  EXPECT_EQ(cudaMalloc(&more, 4), cudaErrorECCUncorrectable);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorECCUncorrectable);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&more, 4), cudaSuccess);
  EXPECT_EQ(cudaFree(more), cudaErrorECCUncorrectable);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
}

TEST_F(RuntimeTest, PropertiesAreTheDevices) {
  int count = 0;
  ASSERT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 2);
  cudaDeviceProp properties;
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 1), cudaSuccess);
  EXPECT_EQ(properties.major * 10 + properties.minor, 52);
  EXPECT_STREQ(properties.name, "Emulated CUDA 5.2");
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 2), cudaErrorInvalidDevice);
}

using RuntimeDeathTest = RuntimeTest;

TEST_F(RuntimeDeathTest, HostThreadsCannotTouchDeviceMemory) { EXPECT_DEATH(data_[0] = 1, ""); }

TEST_F(RuntimeDeathTest, KernelsCannotWritePastABuffer) {
  // Buffers are whole multiples of 256 bytes: the first 512 are there, then comes the end.
  const auto run = [&] {
    (void)Launch("add_one", AddOne, 3, 64, 0, stream_, data_, 129);
    (void)cudaStreamSynchronize(stream_);
  };
  EXPECT_DEATH(run(), "");
}

}  // namespace
}  // namespace layercake::simt
