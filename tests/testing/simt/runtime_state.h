#pragma once

// What the emulated runtime keeps. Private to this directory.

#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cuda_runtime_api.h"
#include "tests/testing/simt/device_memory.h"
#include "tests/testing/simt/emulation.h"

namespace layercake::simt {

struct EmulatedDevice {
  DeviceSpec spec;
  std::unique_ptr<DeviceMemory> memory;
  cudaError_t broken = cudaSuccess;
  bool used = false;
};

// Of a block, for kernels that ask for more than every card gives unasked: the least that real ones
// of this compute capability have.
constexpr size_t kUnaskedSharedBytes = 48 << 10;
constexpr size_t MaxSharedBytes(const DeviceSpec& spec) {
  return spec.major >= 8 ? 99 << 10 : kUnaskedSharedBytes;
}

using Work = std::function<cudaError_t()>;

// How often an event was recorded, and the last of those recordings that a stream has come to.
struct Recordings {
  int64_t asked = 0;
  int64_t reached = 0;
};

// What a stream has to do: some work, or to come to a recording of an event, or to wait for one.
struct Entry {
  Work work;
  std::shared_ptr<Recordings> event;
  int64_t recording = 0;
  CUstream_st* recorded_in = nullptr;  // of what is waited for, the stream that comes to it

  bool ready() const { return recorded_in == nullptr || event->reached >= recording; }
};

// What a stream records instead of doing.
struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id thread;  // that began it
  std::vector<Work> work;
  bool broken = false;
};

struct Runtime {
  // Held while work is queued or done.
  std::recursive_mutex mutex;
  std::vector<EmulatedDevice> devices;
  std::map<const char*, size_t> pinned;  // page-locked host memory
  std::vector<CUstream_st*> streams;
  uint64_t seed = 0;
  int64_t num_launches = 0;
  int64_t last_launch = std::numeric_limits<int64_t>::max();  // the next one breaks its device
  int64_t num_spinning_waits = 0;
  int64_t num_function_attributes = 0;
  GraphCounts graphs;
  std::map<GraphCall, cudaError_t> refused;
  std::string report;
};

Runtime& TheRuntime();

// The calling thread's device; null if there is none such. UseCurrentDevice: for calls that begin a
// context on it.
EmulatedDevice* CurrentDevice();
EmulatedDevice* UseCurrentDevice();

// Remembers what a call returns, for cudaGetLastError.
cudaError_t Return(cudaError_t error);

// Does all that is queued, in every stream. What went wrong, then or before.
cudaError_t FinishAll();

// Is all of it page-locked, or device memory?
bool IsAsynchronous(const void* data);

// Work for the stream's turn; with no stream, once all others have finished.
cudaError_t Queue(CUstream_st* stream, Work work);

// For a call that CUDA calls potentially unsafe: breaks the captures that forbid it, and says so.
cudaError_t CheckNoCapture();

}  // namespace layercake::simt

struct CUstream_st {
  layercake::simt::EmulatedDevice* device = nullptr;
  std::deque<layercake::simt::Entry> queue;
  std::unique_ptr<layercake::simt::Capture> capture;
};
