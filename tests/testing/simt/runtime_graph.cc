#include <utility>

#include "tests/testing/simt/runtime_state.h"

using layercake::simt::Capture;
using layercake::simt::EmulatedDevice;
using layercake::simt::GraphCall;
using layercake::simt::Queue;
using layercake::simt::Return;
using layercake::simt::TheRuntime;
using layercake::simt::UseCurrentDevice;
using layercake::simt::Work;
using WorkList = std::shared_ptr<const std::vector<Work>>;

struct CUgraph_st {
  EmulatedDevice* device = nullptr;
  WorkList work;
};

struct CUgraphExec_st {
  EmulatedDevice* device = nullptr;
  WorkList work;
  void* memory = nullptr;
};

namespace layercake::simt {
namespace {

// Of the device's memory, which a graph takes that was uploaded, or launched.
constexpr size_t kGraphBytes = 64 << 10;

cudaError_t Refusal(GraphCall call) {
  const auto refused = TheRuntime().refused.find(call);
  return refused == TheRuntime().refused.end() ? cudaSuccess : refused->second;
}

}  // namespace

void RefuseGraphs(GraphCall call, cudaError_t error) {
  const std::lock_guard lock(TheRuntime().mutex);
  TheRuntime().refused[call] = error;
}

GraphCounts CountGraphs() {
  const std::lock_guard lock(TheRuntime().mutex);
  return TheRuntime().graphs;
}

cudaError_t CheckNoCapture() {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  cudaError_t error = cudaSuccess;
  for (CUstream_st* stream : runtime.streams) {
    if (stream->capture == nullptr || stream->capture->mode == cudaStreamCaptureModeRelaxed) {
      continue;
    }
    if (stream->capture->mode == cudaStreamCaptureModeThreadLocal &&
        stream->capture->thread != std::this_thread::get_id()) {
      continue;
    }
    stream->capture->broken = true;
    error = cudaErrorStreamCaptureUnsupported;
  }
  return error;
}

}  // namespace layercake::simt

using layercake::simt::kGraphBytes;
using layercake::simt::Refusal;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const std::lock_guard lock(TheRuntime().mutex);
  if (stream == nullptr) return Return(cudaErrorStreamCaptureUnsupported);
  if (stream->device->broken != cudaSuccess) return stream->device->broken;
  if (stream->capture != nullptr) return Return(cudaErrorIllegalState);
  if (const cudaError_t error = Refusal(GraphCall::kBeginCapture); error != cudaSuccess) {
    return Return(error);
  }
  ++TheRuntime().graphs.captures;
  stream->capture.reset(new Capture{mode, std::this_thread::get_id(), {}});
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard lock(TheRuntime().mutex);
  *graph = nullptr;
  if (stream->capture == nullptr) return Return(cudaErrorIllegalState);
  if (stream->capture->mode != cudaStreamCaptureModeRelaxed &&
      stream->capture->thread != std::this_thread::get_id()) {
    return Return(cudaErrorStreamCaptureWrongThread);
  }
  const std::unique_ptr<Capture> capture = std::move(stream->capture);
  if (stream->device->broken != cudaSuccess) return stream->device->broken;
  if (capture->broken) return Return(cudaErrorStreamCaptureInvalidated);
  if (const cudaError_t error = Refusal(GraphCall::kEndCapture); error != cudaSuccess) {
    return Return(error);
  }
  *graph = new CUgraph_st{stream->device,
                          std::make_shared<const std::vector<Work>>(std::move(capture->work))};
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const std::lock_guard lock(TheRuntime().mutex);
  if (graph->device->broken != cudaSuccess) return graph->device->broken;
  if (const cudaError_t error = Refusal(GraphCall::kInstantiate); error != cudaSuccess) {
    return Return(error);
  }
  ++TheRuntime().graphs.alive;
  *exec = new CUgraphExec_st{graph->device, graph->work};
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
  const std::lock_guard lock(TheRuntime().mutex);
  if (exec->device->broken != cudaSuccess) return exec->device->broken;
  if (stream != nullptr && stream->device != exec->device) return Return(cudaErrorInvalidValue);
  if (exec->memory == nullptr) exec->memory = exec->device->memory->Allocate(kGraphBytes);
  return Return(exec->memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const std::lock_guard lock(TheRuntime().mutex);
  if (const cudaError_t error = Refusal(GraphCall::kLaunch); error != cudaSuccess) {
    return Return(error);
  }
  if (const cudaError_t error = cudaGraphUpload(exec, stream); error != cudaSuccess) return error;
  ++TheRuntime().graphs.issued;
  ++TheRuntime().graphs.launches;
  return Return(Queue(stream, [work = exec->work] {
    for (const Work& each : *work) {
      if (const cudaError_t error = each(); error != cudaSuccess) return error;
    }
    return cudaSuccess;
  }));
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

// What is queued of it is still done.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  UseCurrentDevice();
  const std::lock_guard lock(TheRuntime().mutex);
  if (exec->memory != nullptr) exec->device->memory->Free(exec->memory);
  --TheRuntime().graphs.alive;
  delete exec;
  return cudaSuccess;
}
