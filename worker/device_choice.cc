#include "worker/device_choice.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/bytes.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/base/text_table.h"
#include "common/options/options.h"
#include "worker/device/cublas_lt.h"
#include "worker/device/cuda_device.h"
#include "worker/device/cuda_tier.h"
#include "worker/profile/cpu_allowance.h"

namespace layercake {
namespace {

const CudaTier& KernelsOf(const Card& card) {
  return TierOf(card.compute_capability, card.code_capability);
}

v1::Device Describe(const Card& card) {
  v1::Device message;
  message.set_kind(v1::DEVICE_KIND_CUDA);
  message.set_selector(card.selector());
  message.set_name(card.name);
  message.set_uuid(card.uuid);
  message.set_compute_capability(card.compute_capability);
  const CudaTier& tier = KernelsOf(card);
  message.set_tier(absl::StrCat(tier.name, ": ", tier.arithmetic));
  message.set_total_bytes(card.total_bytes);
  message.set_free_bytes(card.free_bytes);
  message.set_problem(std::string(card.usable.message()));
  return message;
}

v1::Device Describe(const Device& cpu) {
  v1::Device message;
  message.set_kind(v1::DEVICE_KIND_CPU);
  message.set_selector("cpu");
  message.set_name(cpu.name());
  message.set_total_bytes(cpu.Memory().total_bytes);
  message.set_free_bytes(cpu.Memory().free_bytes);
  message.set_threads(cpu.num_threads());
  const CpuAllowance allowance = CpuAllowance::Current();
  message.set_cores(allowance.cores);
  message.set_cpu_quota(allowance.quota);
  message.set_cpu_quota_period_seconds(allowance.period_seconds);
  return message;
}

absl::StatusOr<ChosenDevice> OpenCpu(int num_threads) {
  ChosenDevice chosen;
  LC_ASSIGN_OR_RETURN(chosen.device, Device::CreateCpu(num_threads));
  chosen.description = Describe(*chosen.device);
  chosen.short_name = "cpu-0";
  return chosen;
}

absl::StatusOr<ChosenDevice> OpenCard(Card card, int num_threads, CudaRuntime& runtime,
                                      bool share) {
  ChosenDevice chosen;
  LC_RETURN_IF_ERROR(card.usable);
  if (!share) {
    LC_ASSIGN_OR_RETURN(chosen.lock, CardLock::Take(card.uuid));
  }
  LC_RETURN_IF_ERROR(UseCard(runtime, &card));
  const CudaTier& best = TierOf(card.compute_capability);
  if (const CudaTier& tier = KernelsOf(card); tier.name != best.name) {
    LOG(WARNING) << card.selector() << " (" << card.name << ") runs kernels of " << tier.name
                 << ", not of " << best.name << ": this program was not built for it; build it "
                 << "with -DCMAKE_CUDA_ARCHITECTURES=" << card.compute_capability;
  }
  auto device = Device::CreateCuda(card.index, num_threads);
  if (!device.ok()) {
    runtime.Leave(card);
    return device.status();
  }
  chosen.device = *std::move(device);
  chosen.description = Describe(card);
  chosen.short_name = absl::StrCat("cuda-", card.index);
  return chosen;
}

// Uses the card for it only where there is no other way.
void FindFreeBytes(CudaRuntime& runtime, Card* card) {
  if (const auto free_bytes = runtime.FreeBytes(*card)) {
    card->free_bytes = *free_bytes;
  } else if (UseCard(runtime, card).ok()) {
    runtime.Leave(*card);
  }
}

absl::StatusOr<ChosenDevice> OpenAny(int num_threads, CudaRuntime* runtime, bool share_card) {
  auto cards = ListCards(runtime);
  if (!cards.ok()) {
    // A host without any GPU is nothing to warn of.
    if (!absl::IsUnimplemented(cards.status()) && !absl::IsNotFound(cards.status())) {
      LOG(WARNING) << "computing on the CPU: " << cards.status().message();
    }
    return OpenCpu(num_threads);
  }
  for (Card& card : *cards) FindFreeBytes(*runtime, &card);
  std::stable_sort(cards->begin(), cards->end(),
                   [](const Card& a, const Card& b) { return a.free_bytes > b.free_bytes; });
  for (const Card& card : *cards) {
    auto chosen = OpenCard(card, num_threads, *runtime, share_card);
    if (chosen.ok()) return chosen;
    LOG(WARNING) << chosen.status().message();
  }
  return OpenCpu(num_threads);
}

}  // namespace

absl::StatusOr<ChosenDevice> OpenDevice(const std::string& selector, int num_threads,
                                        CudaRuntime* runtime, bool share_card) {
  if (selector == "cpu") return OpenCpu(num_threads);
  if (selector == "auto") return OpenAny(num_threads, runtime, share_card);
  const auto cards = ListCards(runtime);
  const bool is_name =
      cards.ok() && std::any_of(cards->begin(), cards->end(),
                                [&](const Card& card) { return IsOfName(card, selector); });
  if (!is_name && !absl::StartsWith(selector, "cuda:") && !absl::StartsWith(selector, "GPU-")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--device ", selector,
                     " is no device here; write auto, cpu, cuda:N, or a "
                     "GPU's UUID or name, as --list-devices has them"));
  }
  LC_RETURN_IF_ERROR(cards.status());
  LC_ASSIGN_OR_RETURN(const Card card, FindCard(*cards, selector));
  return OpenCard(card, num_threads, *runtime, share_card);
}

absl::Status UseCublasLt(ChosenDevice& chosen) {
  constexpr absl::string_view kElse = "; leave out --dense-products cublaslt, or ";
  if (chosen.device->kind() == DeviceKind::kCpu) {
    return absl::FailedPreconditionError(
        absl::StrCat(chosen.device->name(), " is no CUDA device", kElse, "name one as --device"));
  }
  const auto functions = LoadCublasLt();
  if (!functions.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(functions.status().message(), kElse,
                     "install cuBLAS (deploy/install-cuda.sh --cublas) and name its "
                     "directory in LD_LIBRARY_PATH"));
  }
  CudaDevice& device = AsCuda(*chosen.device);
  LC_ASSIGN_OR_RETURN(auto cublas, CublasLt::Create(**functions, device));
  chosen.description.set_tier(
      absl::StrCat(chosen.description.tier(), "; prompts by cuBLASLt ", cublas->version()));
  device.set_cublas_lt(std::move(cublas));
  return absl::OkStatus();
}

v1::DeviceList ListDevices(CudaRuntime* runtime) {
  v1::DeviceList list;
  const auto cards = ListCards(runtime);
  if (cards.ok()) {
    for (Card card : *cards) {
      if (UseCard(*runtime, &card).ok()) runtime->Leave(card);
      *list.add_devices() = Describe(card);
    }
    if (cards->empty()) list.set_note("no CUDA device is visible");
  } else {
    list.set_note(std::string(cards.status().message()));
  }
  if (const auto cpu = Device::CreateCpu(0); cpu.ok()) *list.add_devices() = Describe(**cpu);
  return list;
}

std::string FormatDeviceTable(const v1::DeviceList& list) {
  constexpr auto kRight = TextTable::Align::kRight;
  TextTable table({{"device"},
                   {"name"},
                   {"capability", kRight},
                   {"free", kRight},
                   {"total", kRight},
                   {"uuid"},
                   {"arithmetic, or problem"}});
  const auto bytes = [](uint64_t n) { return FormatBytes(static_cast<int64_t>(n)); };
  for (const v1::Device& device : list.devices()) {
    const int capability = device.compute_capability();
    const bool cpu = device.kind() == v1::DEVICE_KIND_CPU;
    const std::string kernels = cpu ? absl::StrCat(device.threads(), " threads") : device.tier();
    table.AddRow({device.selector(), device.name(),
                  cpu ? "-" : absl::StrFormat("%d.%d", capability / 10, capability % 10),
                  device.problem().empty() ? bytes(device.free_bytes()) : "-",
                  bytes(device.total_bytes()), device.uuid().empty() ? "-" : device.uuid(),
                  device.problem().empty() ? kernels : device.problem()});
  }
  const std::string note = list.note().empty() ? "" : absl::StrCat("\n", list.note(), "\n");
  return absl::StrCat(table.Format(), note);
}

int DeviceExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kUnimplemented:
      return kExitUnsupported;
    case absl::StatusCode::kNotFound:
      return kExitNoDriver;
    case absl::StatusCode::kFailedPrecondition:
      return kExitOldDriver;
    case absl::StatusCode::kOutOfRange:
      return kExitNoDevice;
    case absl::StatusCode::kUnavailable:
      return kExitDeviceBusy;
    case absl::StatusCode::kAlreadyExists:
      return kExitDeviceTaken;
    case absl::StatusCode::kResourceExhausted:
      return kExitNoMemory;
    default:
      return kExitDeviceLost;
  }
}

}  // namespace layercake
