#pragma once

// Cards as a test would have them, and what goes wrong with them.

#include <map>
#include <vector>

#include "worker/device/cards.h"

namespace layercake {

class FakeCudaRuntime : public CudaRuntime {
 public:
  FakeCudaRuntime() = default;
  explicit FakeCudaRuntime(std::vector<Card> cards) : cards_(std::move(cards)) {}

  int RuntimeVersion() override { return 13000; }
  int DriverVersion() override { return driver_version; }
  CudaResult CountCards(int* count) override {
    if (count_result.code == 0) *count = static_cast<int>(cards_.size());
    return count_result;
  }
  CudaResult Describe(int index, Card* card) override {
    *card = cards_[index];
    card->free_bytes = 0;
    return {};
  }
  CudaResult Use(int index, int64_t* free_bytes) override {
    if (use_results.contains(index)) return use_results[index];
    *free_bytes = cards_[index].free_bytes;
    return {};
  }

  int driver_version = 13000;
  CudaResult count_result;
  std::map<int, CudaResult> use_results;  // by index

 private:
  std::vector<Card> cards_;
};

// A card of `free_gib` GiB, all of them free.
inline Card FakeCard(int index, const std::string& uuid, int compute_capability, int free_gib) {
  return {.index = index,
          .uuid = uuid,
          .name = "Test Card",
          .compute_capability = compute_capability,
          .total_bytes = int64_t{free_gib} << 30,
          .free_bytes = int64_t{free_gib} << 30};
}

}  // namespace layercake
