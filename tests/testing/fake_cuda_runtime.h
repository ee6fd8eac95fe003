#pragma once

// Cards as a test would have them, and what goes wrong with them.

#include <map>
#include <optional>
#include <set>
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
    card->code_capability = 0;
    return {};
  }
  std::optional<int64_t> FreeBytes(const Card& card) override {
    if (!tells_free_bytes) return std::nullopt;
    return cards_[card.index].free_bytes;
  }
  CudaResult Use(Card* card) override {
    ++uses[card->index];
    in_use.insert(card->index);
    if (use_results.contains(card->index)) return use_results[card->index];
    card->free_bytes = cards_[card->index].free_bytes;
    card->code_capability = cards_[card->index].code_capability;
    return {};
  }
  void Leave(const Card& card) override { in_use.erase(card.index); }

  int driver_version = 13000;
  bool tells_free_bytes = true;  // of cards that are not used
  CudaResult count_result;
  std::map<int, CudaResult> use_results;  // by index
  std::map<int, int> uses;                // begun, by index
  std::set<int> in_use;

 private:
  std::vector<Card> cards_;
};

// A card of `free_gib` GiB, all of them free, with code of its own.
inline Card FakeCard(int index, const std::string& uuid, int compute_capability, int free_gib) {
  return {.index = index,
          .uuid = uuid,
          .name = "Test Card",
          .compute_capability = compute_capability,
          .total_bytes = int64_t{free_gib} << 30,
          .code_capability = compute_capability,
          .free_bytes = int64_t{free_gib} << 30};
}

}  // namespace layercake
