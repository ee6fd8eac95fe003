#pragma once

// Common NVIDIA cards from Maxwell to Blackwell, by name.

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Published figures of one GPU; a board with several has several devices.
struct CardModel {
  const char* name;        // "tesla-m40"
  int compute_capability;  // 52 for 5.2
  double memory_gib;       // as sold
  double gigabytes_per_second;
  double f32_teraflops;  // 10^12 operations a second
  // Of the fastest units that multiply 16-bit numbers and add in 32 bits, dense; the f32 rate where
  // there are none, or they are slower.
  double f16_teraflops;
};

// What our kernels can expect of those figures, and what the driver leaves of the memory: the
// catalogue's guess for cards nobody has measured here.
inline constexpr double kAttainableBandwidth = 0.75;
inline constexpr double kAttainableOperations = 0.5;
inline constexpr double kFreeMemory = 0.96;

// All, oldest generation first.
std::span<const CardModel> CardModels();

// The card of that name; case, blanks, and a leading "NVIDIA", "GeForce" or "Tesla" do not matter.
// Errors: NotFound (with the nearest name).
absl::StatusOr<CardModel> FindCardModel(absl::string_view name);

// What a worker on such a card would report and measure.
v1::Device DeviceOf(const CardModel& card);
v1::DeviceProfile ProfileOf(const CardModel& card);

// All cards, for programs; and a table of them, for people.
v1::CardList ListCards();
std::string FormatCards();

}  // namespace layercake
