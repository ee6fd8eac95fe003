#include <algorithm>
#include <cstring>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "cuda_runtime.h"
#include "tests/testing/simt/block.h"
#include "tests/testing/simt/runtime_state.h"

using layercake::simt::CheckNoCapture;
using layercake::simt::CurrentDevice;
using layercake::simt::EmulatedDevice;
using layercake::simt::Entry;
using layercake::simt::FinishAll;
using layercake::simt::IsAsynchronous;
using layercake::simt::Recordings;
using layercake::simt::Return;
using layercake::simt::TheRuntime;
using layercake::simt::UseCurrentDevice;
using layercake::simt::Work;

struct CUevent_st {
  // Outlives the event where a stream has still to come to it, or to wait for it.
  std::shared_ptr<Recordings> recordings = std::make_shared<Recordings>();
  CUstream_st* stream = nullptr;  // where it was recorded last
  bool captured = false;          // that recording was captured
  bool blocking = false;          // who waits for it sleeps
};

namespace layercake::simt {
namespace {

// Whose turn it is while somebody waits for a stream. Work that nobody waits for is done as late as
// CUDA allows, as early as there is time for it, or by chance: drawn anew for every wait.
class Turns {
 public:
  Turns() : random_(static_cast<uint32_t>(1 + TheRuntime().seed++)), eagerness_(Draw(3)) {}

  // REQUIRES: `waited` has something to do.
  CUstream_st* Next(CUstream_st* waited) {
    if (Draw(2) < eagerness_) {
      std::vector<CUstream_st*> ready;
      for (CUstream_st* stream : TheRuntime().streams) {
        if (!stream->queue.empty() && stream->queue.front().ready()) ready.push_back(stream);
      }
      return ready[Draw(ready.size())];
    }
    while (!waited->queue.front().ready()) waited = waited->queue.front().recorded_in;
    return waited;
  }

 private:
  size_t Draw(size_t count) { return random_() / 64 % count; }

  std::minstd_rand random_;
  const size_t eagerness_;  // the share of turns that are anybody's, in halves
};

void DoNext(CUstream_st& stream) {
  const Entry next = std::move(stream.queue.front());
  stream.queue.pop_front();
  cudaError_t& broken = stream.device->broken;
  if (next.work != nullptr) {
    if (broken == cudaSuccess) broken = next.work();
  } else if (next.recorded_in == nullptr) {
    next.event->reached = next.recording;
  }
}

// Has streams do their work until `done` holds, which `stream` can bring about.
template <typename Done>
cudaError_t Finish(CUstream_st& stream, Done done) {
  std::map<DeviceMemory*, DeviceMemory::Access> open;
  Turns turns;
  while (!done()) {
    CUstream_st& next = *turns.Next(&stream);
    DeviceMemory& memory = *next.device->memory;
    open.try_emplace(&memory, memory);
    DoNext(next);
  }
  return stream.device->broken;
}

cudaError_t Finish(CUstream_st& stream) {
  return Finish(stream, [&] { return stream.queue.empty(); });
}

// Until the event's last recording was come to.
cudaError_t Finish(CUevent_st& event) {
  return Finish(*event.stream, [&, recording = event.recordings->asked] {
    return event.recordings->reached >= recording;
  });
}

void CountSpinningWait() {
  const std::lock_guard lock(TheRuntime().mutex);
  ++TheRuntime().num_spinning_waits;
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
    stream->queue.push_back({.work = std::move(work)});
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
    if (runtime.num_launches == runtime.last_launch) return cudaErrorECCUncorrectable;
    ++runtime.num_launches;
    const std::string report =
        RunGrid({kernel, grid, block, config.dynamicSmemBytes}, runtime.seed++, body);
    if (report.empty()) return cudaSuccess;
    runtime.report = report;
    return cudaErrorLaunchFailure;
  }));
}

}  // namespace layercake::simt

using layercake::simt::CountSpinningWait;
using layercake::simt::Finish;
using layercake::simt::Queue;

cudaError_t cudaDeviceSynchronize() {
  CountSpinningWait();
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
  EmulatedDevice* device = UseCurrentDevice();
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
  CountSpinningWait();
  const std::lock_guard lock(TheRuntime().mutex);
  if (stream != nullptr && stream->capture != nullptr) {
    stream->capture->broken = true;
    return Return(cudaErrorStreamCaptureUnsupported);
  }
  return Return(stream == nullptr ? FinishAll() : Finish(*stream));
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  UseCurrentDevice();
  *event = new CUevent_st{.blocking = (flags & cudaEventBlockingSync) != 0};
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(TheRuntime().mutex);
  if (stream->device->broken != cudaSuccess) return Return(stream->device->broken);
  event->stream = stream;
  event->captured = stream->capture != nullptr;
  if (event->captured) return cudaSuccess;
  stream->queue.push_back({.event = event->recordings, .recording = ++event->recordings->asked});
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(TheRuntime().mutex);
  if (event->stream == nullptr) return cudaSuccess;
  if (!event->blocking) CountSpinningWait();
  if (const cudaError_t error = CheckNoCapture(); error != cudaSuccess) return Return(error);
  if (event->captured) return Return(cudaErrorCapturedEvent);
  return Return(Finish(*event));
}

// Nothing goes on by itself: asking is what makes it.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (const cudaError_t error = CheckNoCapture(); error != cudaSuccess) return Return(error);
  const std::lock_guard lock(TheRuntime().mutex);
  if (event->captured) return Return(cudaErrorCapturedEvent);
  if (event->recordings->reached == event->recordings->asked) return cudaSuccess;
  const cudaError_t error = cudaEventSynchronize(event);
  return error == cudaSuccess ? cudaErrorNotReady : error;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  const std::lock_guard lock(TheRuntime().mutex);
  if (stream->device->broken != cudaSuccess) return Return(stream->device->broken);
  if (event->stream == nullptr) return cudaSuccess;
  if (stream->capture != nullptr || event->captured) {  // of what both would have to be one graph
    if (stream->capture != nullptr) stream->capture->broken = true;
    return Return(cudaErrorStreamCaptureIsolation);
  }
  stream->queue.push_back({.event = event->recordings,
                           .recording = event->recordings->asked,
                           .recorded_in = event->stream});
  return cudaSuccess;
}
