#include <cuda_runtime_api.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/device/card_code.h"
#include "worker/device/cards.h"
#include "worker/device/nvml.h"

namespace layercake {
namespace {

CudaResult Result(int code) {
  const auto error = static_cast<cudaError_t>(code);
  if (error == cudaSuccess) return {};
  // Forgets it, so that the next call is not blamed.
  cudaGetLastError();
  return {error, absl::StrCat(cudaGetErrorString(error), " (", cudaGetErrorName(error), ")")};
}

std::string UuidName(const cudaUUID_t& uuid) {
  std::string name = "GPU";
  for (int i = 0; i < 16; ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) name += '-';
    absl::StrAppendFormat(&name, "%02x", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return name;
}

class NvidiaRuntime : public CudaRuntime {
 public:
  int RuntimeVersion() override {
    int version = 0;
    return cudaRuntimeGetVersion(&version) == cudaSuccess ? version : 0;
  }

  int DriverVersion() override {
    int version = 0;
    return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
  }

  CudaResult CountCards(int* count) override { return Result(cudaGetDeviceCount(count)); }

  CudaResult Describe(int index, Card* card) override {
    cudaDeviceProp properties;
    if (const CudaResult result = Result(cudaGetDeviceProperties(&properties, index));
        result.code != 0) {
      return result;
    }
    card->uuid = UuidName(properties.uuid);
    card->name = properties.name;
    card->compute_capability = 10 * properties.major + properties.minor;
    card->total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    return {};
  }

  std::optional<int64_t> FreeBytes(const Card& card) override {
    if (!nvml_.has_value()) nvml_.emplace();
    return nvml_->FreeBytes(card.uuid);
  }

  CudaResult Use(Card* card) override {
    size_t free = 0;
    size_t total = 0;
    int error = cudaSetDevice(card->index);
    if (error == cudaSuccess) error = cudaMemGetInfo(&free, &total);
    if (error == cudaSuccess) error = AskCodeCapability(&card->code_capability);
    card->free_bytes = static_cast<int64_t>(free);
    return Result(error);
  }

  void Leave(const Card& card) override {
    if (cudaSetDevice(card.index) == cudaSuccess) cudaDeviceReset();
    cudaGetLastError();
  }

 private:
  std::optional<Nvml> nvml_;  // loaded when it is asked for the first time
};

}  // namespace

CudaRuntime* CudaRuntime::Real() {
  static auto* const runtime = new NvidiaRuntime();
  return runtime;
}

}  // namespace layercake
