#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cuda_runtime.h"
#include "tests/testing/simt/block.h"
#include "tests/testing/simt/runtime_state.h"

using layercake::simt::CheckNoCapture;
using layercake::simt::CurrentDevice;
using layercake::simt::EmulatedDevice;
using layercake::simt::FinishAll;
using layercake::simt::IsAsynchronous;
using layercake::simt::Return;
using layercake::simt::TheRuntime;
using layercake::simt::Work;

struct CUevent_st {
  CUstream_st* stream = nullptr;  // where it was recorded last
  bool captured = false;          // that recording was captured
  int64_t recorded = 0;
  int64_t reached = 0;
};

namespace layercake::simt {
namespace {

// Does the stream's work until `done` holds, or all of it.
template <typename Done>
cudaError_t Finish(CUstream_st& stream, Done done) {
  EmulatedDevice& device = *stream.device;
  const DeviceMemory::Access access(*device.memory);
  while (!stream.queue.empty() && !done()) {
    const Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    if (device.broken == cudaSuccess) device.broken = work();
  }
  return device.broken;
}

cudaError_t Finish(CUstream_st& stream) {
  return Finish(stream, [] { return false; });
}

}  // namespace

cudaError_t Queue(CUstream_st* stream, Work work) {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  if (stream == nullptr) {  // the default stream waits for all others
    if (const cudaError_t error = FinishAll(); error != cudaSuccess) return error;
    EmulatedDevice* device = CurrentDevice();
    if (device == nullptr) return Return(cudaErrorNoDevice);
    const DeviceMemory::Access access(*device->memory);
    device->broken = work();
    return device->broken;
  }
  if (stream->device->broken != cudaSuccess) return stream->device->broken;
  if (stream->capture != nullptr) {
    stream->capture->work.push_back(std::move(work));
  } else {
    stream->queue.push_back(std::move(work));
  }
  return cudaSuccess;
}

cudaError_t FinishAll() {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  cudaError_t error = cudaSuccess;
  for (CUstream_st* stream : runtime.streams) {
    if (stream->capture != nullptr) continue;
    if (const cudaError_t now = Finish(*stream); now != cudaSuccess) error = now;
  }
  return error;
}

bool IsAsynchronous(const void* data) {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  for (const EmulatedDevice& device : runtime.devices) {
    if (device.memory->Contains(data)) return true;
  }
  auto it = runtime.pinned.upper_bound(static_cast<const char*>(data));
  if (it == runtime.pinned.begin()) return false;
  --it;
  return data < it->first + it->second;
}

cudaError_t Enqueue(const cudaLaunchConfig_t& config, const char* kernel,
                    std::function<void()> body) {
  if (config.stream == nullptr || config.stream->capture == nullptr) {
    const std::lock_guard lock(TheRuntime().mutex);
    ++TheRuntime().graphs.issued;
  }
  const dim3 grid = config.gridDim, block = config.blockDim;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      grid.y > 65535 || grid.z > 65535) {
    return Return(cudaErrorInvalidConfiguration);
  }
  const EmulatedDevice* const device = CurrentDevice();
  if (device == nullptr) return Return(cudaErrorNoDevice);
  if (config.dynamicSmemBytes > MaxSharedBytes(device->spec)) return Return(cudaErrorInvalidValue);
  return Return(Queue(config.stream, [=]() -> cudaError_t {
    Runtime& runtime = TheRuntime();
    ++runtime.num_launches;
    const std::string report =
        RunGrid({kernel, grid, block, config.dynamicSmemBytes}, runtime.seed++, body);
    if (report.empty()) return cudaSuccess;
    runtime.report = report;
    return cudaErrorLaunchFailure;
  }));
}

}  // namespace layercake::simt

using layercake::simt::Finish;
using layercake::simt::Queue;

cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = CheckNoCapture(); error != cudaSuccess) return Return(error);
  return Return(FinishAll());
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  if (const cudaError_t error = CheckNoCapture(); error != cudaSuccess) return Return(error);
  return Return(Queue(nullptr, [=] {
    std::memcpy(to, from, bytes);
    return cudaSuccess;
  }));
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind, cudaStream_t stream) {
  const cudaError_t error = Queue(stream, [=] {
    for (size_t row = 0; row < height; ++row) {
      std::memcpy(static_cast<char*>(to) + row * to_pitch,
                  static_cast<const char*>(from) + row * from_pitch, width);
    }
    return cudaSuccess;
  });
  if (error != cudaSuccess || (IsAsynchronous(to) && IsAsynchronous(from))) return Return(error);
  return cudaStreamSynchronize(stream);
}

cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  return Return(Queue(stream, [=] {
    std::memset(data, value, bytes);
    return cudaSuccess;
  }));
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  auto& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  EmulatedDevice* device = CurrentDevice();
  if (device == nullptr) return Return(cudaErrorNoDevice);
  *stream = new CUstream_st{device, {}, {}};
  runtime.streams.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  auto& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  const cudaError_t error = Finish(*stream);
  std::erase(runtime.streams, stream);
  delete stream;
  return Return(error);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(TheRuntime().mutex);
  if (stream != nullptr && stream->capture != nullptr) {
    stream->capture->broken = true;
    return Return(cudaErrorStreamCaptureUnsupported);
  }
  return Return(stream == nullptr ? FinishAll() : Finish(*stream));
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  *event = new CUevent_st();
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (event->stream != nullptr) (void)cudaEventSynchronize(event);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(TheRuntime().mutex);
  event->stream = stream;
  event->captured = stream != nullptr && stream->capture != nullptr;
  const int64_t number = ++event->recorded;
  return Return(Queue(stream, [=] {
    event->reached = number;
    return cudaSuccess;
  }));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(TheRuntime().mutex);
  if (event->stream == nullptr) return cudaSuccess;
  if (const cudaError_t error = CheckNoCapture(); error != cudaSuccess) return Return(error);
  if (event->captured) return Return(cudaErrorCapturedEvent);
  return Return(Finish(*event->stream, [&] { return event->reached == event->recorded; }));
}

// Nothing goes on by itself: asking is what makes it.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (const cudaError_t error = CheckNoCapture(); error != cudaSuccess) return Return(error);
  const std::lock_guard lock(TheRuntime().mutex);
  if (event->captured) return Return(cudaErrorCapturedEvent);
  if (event->stream == nullptr || event->reached == event->recorded) return cudaSuccess;
  const cudaError_t error = cudaEventSynchronize(event);
  return error == cudaSuccess ? cudaErrorNotReady : error;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  return Return(Queue(stream, [=] { return cudaEventSynchronize(event); }));
}
