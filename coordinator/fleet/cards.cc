#include "coordinator/fleet/cards.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/base/text_table.h"
#include "coordinator/fleet/spelling.h"

namespace layercake {
namespace {

constexpr double kGibibyte = 1024.0 * 1024 * 1024;

// "NVIDIA GeForce RTX 3090" -> "rtx-3090", "Tesla M40" -> "tesla-m40".
std::string Plain(absl::string_view name) {
  const std::string lower = absl::StrReplaceAll(
      absl::AsciiStrToLower(absl::StripAsciiWhitespace(name)), {{" ", "-"}, {"_", "-"}});
  absl::string_view plain = lower;
  absl::ConsumePrefix(&plain, "nvidia-");
  absl::ConsumePrefix(&plain, "geforce-");
  return std::string(plain);
}

std::string ComputeCapability(int compute_capability) {
  return absl::StrCat(compute_capability / 10, ".", compute_capability % 10);
}

}  // namespace

absl::StatusOr<CardModel> FindCardModel(absl::string_view name) {
  const std::string plain = Plain(name);
  std::vector<absl::string_view> names;
  for (const CardModel& card : CardModels()) {
    const absl::string_view bare = absl::StripPrefix(card.name, "tesla-");
    if (plain == card.name || plain == bare) return card;
    names.insert(names.end(), {card.name, bare});
  }
  return absl::NotFoundError(absl::StrCat("there is no card \"", name, "\" in the catalogue",
                                          DidYouMean(plain, names),
                                          " (layercake plan --list-cards shows all)"));
}

v1::Device DeviceOf(const CardModel& card) {
  v1::Device device;
  device.set_kind(v1::DEVICE_KIND_CUDA);
  device.set_name(card.name);
  device.set_compute_capability(card.compute_capability);
  device.set_total_bytes(static_cast<uint64_t>(card.memory_gib * kGibibyte));
  device.set_free_bytes(static_cast<uint64_t>(card.memory_gib * kGibibyte * kFreeMemory));
  return device;
}

v1::DeviceProfile ProfileOf(const CardModel& card) {
  v1::DeviceProfile profile;
  profile.set_bandwidth_bytes_per_second(card.gigabytes_per_second * 1e9 * kAttainableBandwidth);
  profile.set_flops_per_second(card.f16_teraflops * 1e12 * kAttainableOperations);
  return profile;
}

v1::CardList ListCards() {
  v1::CardList list;
  for (const CardModel& model : CardModels()) {
    v1::Card* card = list.add_cards();
    card->set_name(model.name);
    card->set_compute_capability(model.compute_capability);
    card->set_memory_bytes(static_cast<uint64_t>(model.memory_gib * 0x1p30));
    card->set_bandwidth_bytes_per_second(model.gigabytes_per_second * 1e9);
    card->set_f32_flops_per_second(model.f32_teraflops * 1e12);
    card->set_f16_flops_per_second(model.f16_teraflops * 1e12);
  }
  return list;
}

std::string FormatCards() {
  constexpr auto kRight = TextTable::Align::kRight;
  TextTable table({{"card"},
                   {"capability", kRight},
                   {"memory", kRight},
                   {"bandwidth", kRight},
                   {"f32", kRight},
                   {"f16", kRight}});
  for (const CardModel& card : CardModels()) {
    table.AddRow({card.name, ComputeCapability(card.compute_capability),
                  absl::StrFormat("%.0f GiB", card.memory_gib),
                  absl::StrFormat("%.0f GB/s", card.gigabytes_per_second),
                  absl::StrFormat("%.1f TFLOPS", card.f32_teraflops),
                  absl::StrFormat("%.1f TFLOPS", card.f16_teraflops)});
  }
  return absl::StrCat(
      table.Format(),
      absl::StrFormat(
          "\nPublished figures. Plans reckon with %.0f%% of the bandwidth, %.0f%% of the f16 rate "
          "and %.0f%%\nof the memory, until a worker has measured the card.\n",
          kAttainableBandwidth * 100, kAttainableOperations * 100, kFreeMemory * 100));
}

}  // namespace layercake
