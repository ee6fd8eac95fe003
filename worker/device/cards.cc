#include "worker/device/cards.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

// cudaError_t, which NVIDIA keeps stable.
constexpr int kMemoryAllocation = 2;
constexpr int kInsufficientDriver = 35;
constexpr int kDevicesUnavailable = 46;
constexpr int kInvalidDeviceFunction = 98;
constexpr int kNoDevice = 100;
constexpr int kNoKernelImage = 209;
constexpr int kUnsupportedPtx = 222;
// The last CUDA for cards older than 7.5.
constexpr int kOldCardsCuda = 12;
constexpr int kOldestOfNewCards = 75;

std::string VersionName(int version) {
  return absl::StrCat(version / 1000, ".", version % 1000 / 10);
}

absl::Status DriverTrouble(CudaRuntime& runtime, const CudaResult& result) {
  const int driver = runtime.DriverVersion();
  const std::string ours = VersionName(runtime.RuntimeVersion());
  if (driver == 0) {
    return absl::NotFoundError(absl::StrCat(
        "there is no NVIDIA driver on this host (libcuda.so.1 is missing or its kernel module is "
        "not loaded); install one that serves CUDA ",
        ours, ", or use --device cpu"));
  }
  if (result.code == kInsufficientDriver) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the NVIDIA driver serves CUDA up to ", VersionName(driver),
        ", and this program was built with ", ours,
        "; update the driver, build LayerCake with CUDA ", driver / 1000, ", or use --device cpu"));
  }
  return absl::InternalError(absl::StrCat("the NVIDIA driver does not work: ", result.text,
                                          "; see nvidia-smi and dmesg, or use --device cpu"));
}

absl::Status NoCodeFor(const Card& card, const std::string& which, int runtime_version) {
  const bool too_new =
      card.compute_capability < kOldestOfNewCards && runtime_version / 1000 > kOldCardsCuda;
  return absl::UnimplementedError(absl::StrCat(
      which, " is of compute capability ", card.compute_capability / 10, ".",
      card.compute_capability % 10, ", for which this program, built with CUDA ",
      VersionName(runtime_version), ", has no code; build LayerCake with ",
      too_new ? absl::StrCat("CUDA ", kOldCardsCuda, ", the last that knows such cards")
              : absl::StrCat("-DCMAKE_CUDA_ARCHITECTURES=", card.compute_capability)));
}

absl::Status CardTrouble(CudaRuntime& runtime, const Card& card, const CudaResult& result) {
  const std::string which = absl::StrCat(card.selector(), " (", card.name, ", ", card.uuid, ")");
  if (result.code == kNoKernelImage || result.code == kInvalidDeviceFunction) {
    return NoCodeFor(card, which, runtime.RuntimeVersion());
  }
  if (result.code == kUnsupportedPtx) {
    return absl::FailedPreconditionError(absl::StrCat(
        which, " needs this program's code translated, which the driver cannot: it serves CUDA ",
        VersionName(runtime.DriverVersion()), ", and the program was built with ",
        VersionName(runtime.RuntimeVersion()),
        "; update the driver, or build LayerCake with -DCMAKE_CUDA_ARCHITECTURES=",
        card.compute_capability));
  }
  if (result.code == kDevicesUnavailable) {
    return absl::UnavailableError(absl::StrCat(
        which,
        " is in use by another process that has it for itself, or its compute mode forbids "
        "use; end that process, or allow sharing with nvidia-smi -c DEFAULT"));
  }
  if (result.code == kMemoryAllocation) {
    return absl::ResourceExhaustedError(
        absl::StrCat(which, " has too little free memory even to begin, of ",
                     FormatBytes(card.total_bytes), "; nvidia-smi shows who holds it"));
  }
  return absl::InternalError(
      absl::StrCat(which, " does not work: ", result.text, "; see nvidia-smi and dmesg"));
}

}  // namespace

std::string Card::selector() const { return absl::StrCat("cuda:", index); }

absl::StatusOr<std::vector<Card>> ListCards(CudaRuntime* runtime) {
  if (runtime == nullptr) {
    return absl::UnimplementedError("this program was built without CUDA; use --device cpu");
  }
  int count = 0;
  const CudaResult counted = runtime->CountCards(&count);
  if (counted.code == kNoDevice) return std::vector<Card>();
  if (counted.code != 0) return DriverTrouble(*runtime, counted);
  std::vector<Card> cards(count);
  for (int i = 0; i < count; ++i) {
    cards[i].index = i;
    const CudaResult result = runtime->Describe(i, &cards[i]);
    if (result.code != 0) cards[i].usable = CardTrouble(*runtime, cards[i], result);
  }
  return cards;
}

absl::Status UseCard(CudaRuntime& runtime, Card* card) {
  LC_RETURN_IF_ERROR(card->usable);
  const CudaResult result = runtime.Use(card);
  if (result.code != 0) {
    card->usable = CardTrouble(runtime, *card, result);
    runtime.Leave(*card);
  }
  return card->usable;
}

bool IsOfName(const Card& card, absl::string_view selector) {
  // Words with dashes around each.
  const auto words = [](absl::string_view text) {
    std::string dashed = "-";
    for (const char c : absl::StrCat(text, "-")) {
      if (absl::ascii_isalnum(static_cast<unsigned char>(c))) {
        dashed += absl::ascii_tolower(static_cast<unsigned char>(c));
      } else if (dashed.back() != '-') {
        dashed += '-';
      }
    }
    return dashed;
  };
  const std::string asked = words(selector);
  return asked.size() > 1 && absl::StrContains(words(card.name), asked);
}

absl::StatusOr<Card> FindCard(const std::vector<Card>& cards, absl::string_view selector) {
  const auto named = [selector](const Card& card) {
    return card.selector() == selector || IsOfName(card, selector) ||
           (absl::StartsWith(selector, "GPU-") && absl::StartsWith(card.uuid, selector));
  };
  const auto found = std::find_if(cards.begin(), cards.end(), named);
  if (found == cards.end() || std::count_if(cards.begin(), cards.end(), named) > 1) {
    const std::string there = absl::StrJoin(cards, ", ", [](std::string* out, const Card& card) {
      absl::StrAppend(out, card.selector(), " (", card.name, ", ", card.uuid, ")");
    });
    return absl::OutOfRangeError(absl::StrCat(
        "--device ", selector, found == cards.end() ? " is not here" : " names several",
        "; visible cards: ", there.empty() ? "none" : there,
        "; CUDA_VISIBLE_DEVICES may hide others"));
  }
  LC_RETURN_IF_ERROR(found->usable);
  return *found;
}

}  // namespace layercake
