#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/bytes.h"
#include "common/base/logging.h"
#include "cuda_runtime.h"
#include "tests/testing/simt/runtime_state.h"

namespace layercake::simt {
namespace {

thread_local int this_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

std::vector<DeviceSpec> SpecsFromEnvironment() {
  const char* text = std::getenv("LAYERCAKE_EMULATED_DEVICES");
  if (text == nullptr) return {DeviceSpec()};
  std::vector<DeviceSpec> specs;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(part, absl::ByAnyChar(".:"));
    DeviceSpec spec;
    CHECK(fields.size() == 3 && absl::SimpleAtoi(fields[0], &spec.major) &&
          absl::SimpleAtoi(fields[1], &spec.minor))
        << "LAYERCAKE_EMULATED_DEVICES: " << part << " is not like 8.0:1GiB";
    const auto bytes = ParseBytes(fields[2]);
    CHECK(bytes.ok()) << bytes.status();
    spec.memory_bytes = *bytes;
    specs.push_back(spec);
  }
  return specs;
}

}  // namespace

Runtime& TheRuntime() {
  static Runtime* const runtime = [] {
    auto* made = new Runtime();
    if (const char* text = std::getenv("LAYERCAKE_EMULATED_LAUNCHES"); text != nullptr) {
      CHECK(absl::SimpleAtoi(text, &made->last_launch)) << "LAYERCAKE_EMULATED_LAUNCHES: " << text;
    }
    for (const DeviceSpec& spec : SpecsFromEnvironment()) {
      made->devices.push_back(
          {spec, std::make_unique<DeviceMemory>(static_cast<size_t>(spec.memory_bytes))});
    }
    return made;
  }();
  return *runtime;
}

void SetDevices(const std::vector<DeviceSpec>& specs) {
  Runtime& runtime = TheRuntime();
  CHECK(runtime.streams.empty()) << "a stream is still there";
  runtime.devices.clear();
  for (const DeviceSpec& spec : specs) {
    runtime.devices.push_back(
        {spec, std::make_unique<DeviceMemory>(static_cast<size_t>(spec.memory_bytes))});
  }
  runtime.refused.clear();
  last_error = cudaSuccess;
}

void SetSeed(uint64_t seed) { TheRuntime().seed = seed; }

void BreakDevice(int device, cudaError_t error) {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  runtime.devices[device].broken = error;
}

bool IsUsed(int device) {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  return runtime.devices[device].used;
}

std::string LastReport() {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  return runtime.report;
}

int64_t NumLaunches() {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  return runtime.num_launches;
}

int64_t NumSpinningWaits() {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  return runtime.num_spinning_waits;
}

int64_t NumFunctionAttributes() {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  return runtime.num_function_attributes;
}

EmulatedDevice* CurrentDevice() {
  Runtime& runtime = TheRuntime();
  if (this_device >= static_cast<int>(runtime.devices.size())) return nullptr;
  return &runtime.devices[this_device];
}

EmulatedDevice* UseCurrentDevice() {
  const std::lock_guard lock(TheRuntime().mutex);
  EmulatedDevice* const device = CurrentDevice();
  if (device != nullptr) device->used = true;
  return device;
}

cudaError_t Return(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t AskCode(cudaFuncAttributes* attributes) {
  const auto* device = UseCurrentDevice();
  if (device == nullptr) return Return(cudaErrorNoDevice);
  const auto& spec = device->spec;
  if (spec.code_capability == kNoCode) return Return(cudaErrorNoKernelImageForDevice);
  attributes->binaryVersion = 10 * spec.major + spec.minor;
  attributes->ptxVersion =
      spec.code_capability == 0 ? attributes->binaryVersion : spec.code_capability;
  return cudaSuccess;
}

}  // namespace layercake::simt

using layercake::simt::CheckNoCapture;
using layercake::simt::CurrentDevice;
using layercake::simt::EmulatedDevice;
using layercake::simt::MaxSharedBytes;
using layercake::simt::Return;
using layercake::simt::TheRuntime;
using layercake::simt::UseCurrentDevice;

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int value) {
  const std::lock_guard lock(TheRuntime().mutex);
  ++TheRuntime().num_function_attributes;
  const EmulatedDevice* const device = UseCurrentDevice();
  if (device == nullptr) return Return(cudaErrorNoDevice);
  const bool possible = static_cast<size_t>(value) <= MaxSharedBytes(device->spec);
  return Return(possible ? cudaSuccess : cudaErrorInvalidValue);
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorNoKernelImageForDevice:
      return "cudaErrorNoKernelImageForDevice";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorECCUncorrectable:
      return "cudaErrorECCUncorrectable";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    default:
      return "cudaError";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  if (error != cudaErrorLaunchFailure) return cudaGetErrorName(error);
  static thread_local std::string text;
  text = absl::StrCat("unspecified launch failure: ", layercake::simt::LastReport());
  return text.c_str();
}

cudaError_t cudaGetLastError() {
  const auto* device = CurrentDevice();
  if (device != nullptr && device->broken != cudaSuccess) return device->broken;
  return std::exchange(layercake::simt::last_error, cudaSuccess);
}

cudaError_t cudaPeekAtLastError() {
  const auto* device = CurrentDevice();
  if (device != nullptr && device->broken != cudaSuccess) return device->broken;
  return layercake::simt::last_error;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = static_cast<int>(TheRuntime().devices.size());
  return Return(*count == 0 ? cudaErrorNoDevice : cudaSuccess);
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= static_cast<int>(TheRuntime().devices.size())) {
    return Return(cudaErrorInvalidDevice);
  }
  const auto& spec = TheRuntime().devices[device].spec;
  if (spec.refusal != cudaSuccess) return Return(spec.refusal);
  layercake::simt::this_device = device;
  UseCurrentDevice();
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = layercake::simt::this_device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* prop, int device) {
  if (device < 0 || device >= static_cast<int>(TheRuntime().devices.size())) {
    return Return(cudaErrorInvalidDevice);
  }
  const auto& spec = TheRuntime().devices[device].spec;
  *prop = {};
  std::snprintf(prop->name, sizeof(prop->name), "Emulated CUDA %d.%d", spec.major, spec.minor);
  // Of this device as the programs of one test see it: it is theirs to share, not the host's.
  const int32_t parent = getppid();
  std::memcpy(prop->uuid.bytes, &parent, sizeof(parent));
  prop->uuid.bytes[15] = static_cast<char>(device);
  prop->totalGlobalMem = static_cast<size_t>(spec.memory_bytes);
  prop->sharedMemPerBlock = layercake::simt::kUnaskedSharedBytes;
  prop->sharedMemPerBlockOptin = layercake::simt::MaxSharedBytes(spec);
  prop->major = spec.major;
  prop->minor = spec.minor;
  prop->multiProcessorCount = 4;
  prop->l2CacheSize = 4 << 20;
  prop->warpSize = 32;
  return cudaSuccess;
}

cudaError_t cudaDeviceReset() {
  if (auto* const device = CurrentDevice(); device != nullptr) device->used = false;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const auto* device = UseCurrentDevice();
  if (device == nullptr) return Return(cudaErrorNoDevice);
  if (device->broken != cudaSuccess) return device->broken;
  *free = device->memory->free_bytes();
  *total = device->memory->total_bytes();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** data, size_t bytes) {
  if (const cudaError_t error = CheckNoCapture(); error != cudaSuccess) return Return(error);
  const auto* device = UseCurrentDevice();
  if (device == nullptr) return Return(cudaErrorNoDevice);
  if (device->broken != cudaSuccess) return device->broken;
  *data = device->memory->Allocate(bytes);
  return Return(*data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaFree(void* data) {
  if (data == nullptr) return cudaSuccess;
  UseCurrentDevice();
  if (const cudaError_t error = CheckNoCapture(); error != cudaSuccess) return Return(error);
  const cudaError_t error = layercake::simt::FinishAll();
  for (auto& device : TheRuntime().devices) {
    if (device.memory->Free(data)) return error;
  }
  return Return(cudaErrorInvalidValue);
}

cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned int) {
  UseCurrentDevice();
  if (const cudaError_t error = CheckNoCapture(); error != cudaSuccess) return Return(error);
  auto& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  *data = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (*data == nullptr) return Return(cudaErrorMemoryAllocation);
  runtime.pinned[static_cast<const char*>(*data)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* data) {
  if (data == nullptr) return cudaSuccess;
  UseCurrentDevice();
  if (const cudaError_t error = CheckNoCapture(); error != cudaSuccess) return Return(error);
  auto& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  const cudaError_t error = layercake::simt::FinishAll();
  if (runtime.pinned.erase(static_cast<const char*>(data)) == 0) {
    return Return(cudaErrorInvalidValue);
  }
  std::free(data);
  return error;
}
