#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/bytes.h"
#include "common/base/logging.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/model/costs.h"
#include "worker/device/card_code.h"
#include "worker/device/cuda_device.h"
#include "worker/device/relax.h"

namespace layercake {
namespace {

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// Whoever frees may be a thread that has not used this card yet, and would begin to use another.
void FreeOnDevice(void* data, int64_t, int index) {
  cudaSetDevice(index);
  cudaFree(data);
}
void FreeOnHost(void* data, int64_t, int index) {
  cudaSetDevice(index);
  cudaFreeHost(data);
}

std::string Describe(cudaError_t error) {
  return absl::StrCat(cudaGetErrorString(error), " (", cudaGetErrorName(error), ")");
}

absl::Status OpenError(cudaError_t error, int index) {
  const std::string text =
      absl::StrCat("CUDA device ", index, " cannot be used: ", Describe(error));
  if (error == cudaErrorNoDevice || error == cudaErrorInvalidDevice ||
      error == cudaErrorInsufficientDriver) {
    return absl::NotFoundError(text);
  }
  if (error == cudaErrorDevicesUnavailable) return absl::UnavailableError(text);
  if (error == cudaErrorMemoryAllocation) return absl::ResourceExhaustedError(text);
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction) {
    return absl::UnimplementedError(text);
  }
  return absl::InternalError(text);
}

constexpr unsigned kEventFlags = cudaEventDisableTiming | cudaEventBlockingSync;
constexpr absl::Duration kAwake = absl::Microseconds(50);

// What is done in a moment is waited for awake, since to be woken takes some ten microseconds; what
// takes longer asleep: a thread that spins takes a core, which a CPU worker's threads all need.
cudaError_t WaitFor(cudaEvent_t event) {
  const absl::Time end = absl::Now() + kAwake;
  cudaError_t error = cudaEventQuery(event);
  while (error == cudaErrorNotReady && absl::Now() < end) {
    Relax();
    error = cudaEventQuery(event);
  }
  return error == cudaErrorNotReady ? cudaEventSynchronize(event) : error;
}

class RealHostCopy final : public HostCopy {
 public:
  // Copies in `to_host` and `to_device`.
  RealHostCopy(CudaDevice& device, Buffer on_device, Buffer on_host, cudaStream_t to_host,
               cudaStream_t to_device)
      : HostCopy(on_device.data(), on_host.data(), on_device.bytes()),
        device_(device),
        buffers_{std::move(on_device), std::move(on_host)},
        to_host_(to_host),
        to_device_(to_device) {
    for (cudaEvent_t* event : {&issued_, &copied_}) {
      device_.Record(cudaEventCreateWithFlags(event, kEventFlags), "making an event");
    }
    RecordIn(device_.stream(), issued_);  // the memory is being cleared
  }
  ~RealHostCopy() override {
    (void)Wait();
    for (cudaEvent_t event : {issued_, copied_}) {
      if (event != nullptr) cudaEventDestroy(event);
    }
  }

  void BeginToHost(int64_t bytes) override {
    RecordIn(device_.stream(), issued_);
    Begin(on_host(), on_device(), bytes, cudaMemcpyDeviceToHost, to_host_);
  }
  void BeginToDevice(int64_t bytes) override {
    Begin(on_device(), on_host(), bytes, cudaMemcpyHostToDevice, to_device_);
  }
  absl::Status Wait() override {
    device_.stream();
    device_.Record(WaitFor(copied_), "copying beside computing");
    return device_.status();
  }
  void Use(absl::FunctionRef<void()> issue) override {
    WaitIn(device_.stream(), copied_);
    issue();
    RecordIn(device_.stream(), issued_);
  }

 private:
  void Begin(char* to, const char* from, int64_t bytes, cudaMemcpyKind kind, cudaStream_t order) {
    CHECK_LE(bytes, this->bytes());
    device_.stream();
    WaitIn(order, issued_);
    device_.Record(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, order),
                   "copying beside computing");
    RecordIn(order, copied_);
  }
  void RecordIn(cudaStream_t order, cudaEvent_t event) {
    device_.Record(cudaEventRecord(event, order), "recording an event");
  }
  void WaitIn(cudaStream_t order, cudaEvent_t event) {
    device_.Record(cudaStreamWaitEvent(order, event, 0), "waiting for an event");
  }

  CudaDevice& device_;
  const Buffer buffers_[2];
  cudaStream_t const to_host_;
  cudaStream_t const to_device_;
  cudaEvent_t issued_ = nullptr;  // in the device's stream: what the next copy waits for
  cudaEvent_t copied_ = nullptr;
};

class RealCudaDevice final : public CudaDevice {
 public:
  RealCudaDevice(int index, const cudaDeviceProp& properties, int code_capability, int num_threads)
      : CudaDevice(properties.name, index, 10 * properties.major + properties.minor,
                   code_capability, properties.multiProcessorCount, num_threads) {}
  ~RealCudaDevice() override;
  absl::Status Open();

  DeviceMemory Memory() const override;
  absl::StatusOr<Buffer> Allocate(int64_t bytes, absl::string_view purpose) override;
  absl::StatusOr<Buffer> AllocateHost(int64_t bytes, absl::string_view purpose) override;
  absl::Status CopyFromHost(const TensorView& to, const void* from, int64_t bytes) override;
  absl::Status CopyToHost(void* to, const TensorView& from, int64_t bytes) override;
  absl::Status Finish() override;
  absl::Status status() const override;

  CUstream_st* stream() override;
  void Record(int error, absl::string_view what) override;
  char* BeginStaging() override;
  void EndStaging() override;
  absl::StatusOr<std::unique_ptr<HostCopy>> CreateHostCopy(int64_t bytes,
                                                           absl::string_view purpose) override;
  absl::StatusOr<CudaGraph> Capture(absl::FunctionRef<void()> issue) override;
  void Launch(const CudaGraph& graph) override;

 private:
  int RecordGraph(absl::FunctionRef<void()> issue, cudaGraph_t* graph);

  // Two, so that one is filled while the other is copied from.
  struct Staging {
    Buffer buffer;
    cudaEvent_t done = nullptr;
  };

  cudaStream_t stream_ = nullptr;
  // Of HostCopies, one each way: cards copy both ways at once.
  cudaStream_t to_host_ = nullptr;
  cudaStream_t to_device_ = nullptr;
  cudaEvent_t issued_ = nullptr;  // what Finish waits for
  Staging staging_[2];
  int next_staging_ = 0;
  mutable Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  // While a thread captures, what its calls return concerns the capture alone.
  std::thread::id capturing_ ABSL_GUARDED_BY(mutex_);
  int capture_error_ ABSL_GUARDED_BY(mutex_) = cudaSuccess;
};

absl::Status RealCudaDevice::Open() {
  cudaError_t error = cudaSetDevice(index());
  for (cudaStream_t* stream : {&stream_, &to_host_, &to_device_}) {
    if (error == cudaSuccess) error = cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
  }
  for (cudaEvent_t* event : {&issued_, &staging_[0].done, &staging_[1].done}) {
    if (error == cudaSuccess) error = cudaEventCreateWithFlags(event, kEventFlags);
  }
  if (error != cudaSuccess) return OpenError(error, index());
  for (Staging& staging : staging_) {
    LC_ASSIGN_OR_RETURN(staging.buffer, AllocateHost(kStagingBytes, "copying"));
  }
  return status();
}

RealCudaDevice::~RealCudaDevice() {
  cudaSetDevice(index());
  for (cudaEvent_t event : {issued_, staging_[0].done, staging_[1].done}) {
    if (event != nullptr) cudaEventDestroy(event);
  }
  for (cudaStream_t stream : {stream_, to_host_, to_device_}) {
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
}

DeviceMemory RealCudaDevice::Memory() const {
  size_t free = 0, total = 0;
  if (cudaSetDevice(index()) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess) {
    return {};
  }
  return {static_cast<int64_t>(total), static_cast<int64_t>(free)};
}

absl::StatusOr<Buffer> RealCudaDevice::Allocate(int64_t bytes, absl::string_view purpose) {
  CHECK_GT(bytes, 0) << purpose;
  LC_RETURN_IF_ERROR(status());
  bytes = RoundUp(bytes, kAllocationBytes);
  void* data = nullptr;
  cudaStream_t const order = stream();
  const cudaError_t error = cudaMalloc(&data, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return absl::ResourceExhaustedError(absl::StrCat(name(), " cannot give ", FormatBytes(bytes),
                                                     " for ", purpose, ": ",
                                                     FormatBytes(Memory().free_bytes), " free"));
  }
  Record(error, absl::StrCat("taking ", FormatBytes(bytes), " for ", purpose));
  LC_RETURN_IF_ERROR(status());
  Buffer buffer(data, bytes, &FreeOnDevice, index());
  Record(cudaMemsetAsync(data, 0, static_cast<size_t>(bytes), order), "clearing memory");
  LC_RETURN_IF_ERROR(status());
  return buffer;
}

absl::StatusOr<Buffer> RealCudaDevice::AllocateHost(int64_t bytes, absl::string_view purpose) {
  CHECK_GT(bytes, 0) << purpose;
  bytes = RoundUp(bytes, kAllocationBytes);
  void* data = nullptr;
  cudaSetDevice(index());
  const cudaError_t error = cudaHostAlloc(&data, static_cast<size_t>(bytes), cudaHostAllocDefault);
  if (error != cudaSuccess) {
    cudaGetLastError();
    return absl::ResourceExhaustedError(
        absl::StrCat("the host cannot give ", FormatBytes(bytes), " of page-locked memory for ",
                     purpose, " beside ", name(), ": ", cudaGetErrorString(error)));
  }
  std::memset(data, 0, static_cast<size_t>(bytes));
  return Buffer(data, bytes, &FreeOnHost, index());
}

absl::Status RealCudaDevice::CopyFromHost(const TensorView& to, const void* from, int64_t bytes) {
  const int64_t size = DTypeBytes(to.dtype);
  const int64_t row_bytes = to.cols * size;
  const int64_t pitch = to.stride * size;
  CHECK_EQ(bytes, to.rows * row_bytes);
  // Some rows at a time, or a part of one.
  const int64_t most = std::min(row_bytes, kStagingBytes);
  const int64_t most_rows = kStagingBytes / most;
  for (int64_t row = 0; row < to.rows; row += most_rows) {
    const int64_t rows = std::min(most_rows, to.rows - row);
    for (int64_t first = 0; first < row_bytes; first += most) {
      const int64_t width = std::min(most, row_bytes - first);
      char* const staging = BeginStaging();
      std::memcpy(staging, static_cast<const char*>(from) + row * row_bytes + first, rows * width);
      Record(cudaMemcpy2DAsync(static_cast<char*>(to.data) + row * pitch + first, pitch, staging,
                               width, width, rows, cudaMemcpyHostToDevice, stream()),
             "copying to it");
      EndStaging();
    }
  }
  return status();
}

absl::Status RealCudaDevice::CopyToHost(void* to, const TensorView& from, int64_t bytes) {
  const int64_t size = DTypeBytes(from.dtype);
  const int64_t row_bytes = from.cols * size;
  CHECK_EQ(bytes, from.rows * row_bytes);
  Record(cudaMemcpy2DAsync(to, row_bytes, from.data, from.stride * size, row_bytes, from.rows,
                           cudaMemcpyDeviceToHost, stream()),
         "copying from it");
  return Finish();
}

absl::Status RealCudaDevice::Finish() {
  Record(cudaEventRecord(issued_, stream()), "recording an event");
  Record(WaitFor(issued_), "computing");
  return status();
}

absl::Status RealCudaDevice::status() const {
  MutexLock lock(mutex_);
  return status_;
}

CUstream_st* RealCudaDevice::stream() {
  cudaSetDevice(index());
  return stream_;
}

void RealCudaDevice::Record(int error, absl::string_view what) {
  if (error == cudaSuccess) return;
  MutexLock lock(mutex_);
  if (capturing_ == std::this_thread::get_id()) {
    if (capture_error_ == cudaSuccess) capture_error_ = error;
    return;
  }
  if (!status_.ok()) return;
  status_ =
      absl::InternalError(absl::StrCat("CUDA device ", index(), " (", name(), ") failed at ", what,
                                       ": ", Describe(static_cast<cudaError_t>(error))));
}

char* RealCudaDevice::BeginStaging() {
  Staging& staging = staging_[next_staging_];
  Record(WaitFor(staging.done), "copying to it");
  return staging.buffer.As<char>();
}

void RealCudaDevice::EndStaging() {
  Record(cudaEventRecord(staging_[next_staging_].done, stream()), "recording an event");
  next_staging_ = 1 - next_staging_;
}

absl::StatusOr<std::unique_ptr<HostCopy>> RealCudaDevice::CreateHostCopy(
    int64_t bytes, absl::string_view purpose) {
  LC_ASSIGN_OR_RETURN(Buffer on_device, Allocate(bytes, purpose));
  LC_ASSIGN_OR_RETURN(Buffer on_host, AllocateHost(bytes, purpose));
  auto copy = std::make_unique<RealHostCopy>(*this, std::move(on_device), std::move(on_host),
                                             to_host_, to_device_);
  LC_RETURN_IF_ERROR(status());
  return copy;
}

// Other threads may call CUDA meanwhile, so only this one's calls count.
int RealCudaDevice::RecordGraph(absl::FunctionRef<void()> issue, cudaGraph_t* graph) {
  const int refused = cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal);
  if (refused != cudaSuccess) return refused;
  {
    MutexLock lock(mutex_);
    capturing_ = std::this_thread::get_id();
    capture_error_ = cudaSuccess;
  }
  issue();
  const int error = cudaStreamEndCapture(stream(), graph);
  MutexLock lock(mutex_);
  capturing_ = std::thread::id();
  return capture_error_ != cudaSuccess ? capture_error_ : error;
}

absl::StatusOr<CudaGraph> RealCudaDevice::Capture(absl::FunctionRef<void()> issue) {
  LC_RETURN_IF_ERROR(status());
  cudaGraph_t recorded = nullptr;
  cudaGraphExec_t exec = nullptr;
  auto error = static_cast<cudaError_t>(RecordGraph(issue, &recorded));
  if (error == cudaSuccess) error = cudaGraphInstantiate(&exec, recorded, 0);
  CudaGraph graph(error == cudaSuccess ? exec : nullptr, [index = index()](CUgraphExec_st* made) {
    cudaSetDevice(index);
    cudaGraphExecDestroy(made);
  });
  if (recorded != nullptr) cudaGraphDestroy(recorded);
  // What memory it needs it takes now, so that launching it cannot fail for want of any.
  if (error == cudaSuccess) error = cudaGraphUpload(exec, stream());
  // Ops issue nothing any more once the device has failed.
  LC_RETURN_IF_ERROR(status());
  if (error == cudaSuccess) return graph;
  cudaGetLastError();
  return absl::UnavailableError(
      absl::StrCat("CUDA device ", index(), " (", name(), ") makes no graph: ", Describe(error)));
}

void RealCudaDevice::Launch(const CudaGraph& graph) {
  Record(cudaGraphLaunch(graph.get(), stream()), "replaying a step");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> Device::CreateCuda(int index, int num_threads) {
  LC_ASSIGN_OR_RETURN(num_threads, ResolveThreads(num_threads));
  cudaDeviceProp properties;
  cudaError_t error = cudaGetDeviceProperties(&properties, index);
  if (error == cudaSuccess) error = cudaSetDevice(index);
  int code_capability = 0;
  if (error == cudaSuccess) error = static_cast<cudaError_t>(AskCodeCapability(&code_capability));
  if (error != cudaSuccess) {
    cudaGetLastError();
    return OpenError(error, index);
  }
  auto device = std::make_unique<RealCudaDevice>(index, properties, code_capability, num_threads);
  LC_RETURN_IF_ERROR(device->Open());
  return device;
}

}  // namespace layercake
