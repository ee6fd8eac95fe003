#pragma once

// The CUDA cards of this host, found without a driver having to be there.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace layercake {

struct Card {
  int index = 0;               // CUDA's, among those that CUDA_VISIBLE_DEVICES leaves
  std::string uuid;            // "GPU-8f0b7a3e-..."
  std::string name;            // "Tesla M40"
  int compute_capability = 0;  // 52 for 5.2
  int64_t total_bytes = 0;
  // What UseCard finds out; 0 before.
  int code_capability = 0;  // what this program's code for it was compiled for
  int64_t free_bytes = 0;   // now
  // Not OK: it cannot be used, as far as is known; as UseCard.
  absl::Status usable;

  // What --device takes: "cuda:0".
  std::string selector() const;
};

// How a call of the CUDA runtime ended: cudaError_t, and its text.
struct CudaResult {
  int code = 0;
  std::string text;
};

// The part of the CUDA runtime that finds cards: NVIDIA's, or a test's. Whoever uses a card has a
// context on it, which takes some of its memory, and may keep others away.
class CudaRuntime {
 public:
  virtual ~CudaRuntime() = default;

  // NVIDIA's, or null in a build without CUDA.
  static CudaRuntime* Real();

  virtual int RuntimeVersion() = 0;  // 13000 for 13.0: what this program was built with
  virtual int DriverVersion() = 0;   // the newest that the driver serves; 0: there is no driver
  virtual CudaResult CountCards(int* count) = 0;
  // Fills in what is known without using the card: index to total_bytes.
  virtual CudaResult Describe(int index, Card* card) = 0;
  // What is free on it now, without using it; nothing where nobody says.
  virtual std::optional<int64_t> FreeBytes(const Card& card) = 0;
  // Begins to use the card, as any work on it would: fills in code_capability and free_bytes.
  virtual CudaResult Use(Card* card) = 0;
  // Gives up all that this process has on the card.
  virtual void Leave(const Card& card) = 0;
};

// All visible cards, none of which is used. `runtime` may be null. Errors: Unimplemented (a build
// without CUDA); NotFound (no driver); FailedPrecondition (the driver is older than this program's
// CUDA); Internal (the driver does not work). Each says what to do.
absl::StatusOr<std::vector<Card>> ListCards(CudaRuntime* runtime);

// Begins to use the card, or says in its `usable`, too, why it cannot be. Takes part of a second.
// Errors: its `usable`; Unavailable (another process has it for itself, or nobody may use it);
// ResourceExhausted (its memory is full); Unimplemented (this program has no code for it);
// FailedPrecondition (the driver is too old to make that code fit); Internal (it does not work).
// Each says which card, and what to do.
absl::Status UseCard(CudaRuntime& runtime, Card* card);

// Whether `selector` is some words of the card's name, as in the catalogue of cards: "tesla-m40" or
// "m40" for a Tesla M40.
bool IsOfName(const Card& card, absl::string_view selector);

// The card that `selector` names: "cuda:1", or a UUID or what a single one begins with, or words of
// a single one's name. Errors: OutOfRange (no such card; says which there are); the card's
// `usable`.
absl::StatusOr<Card> FindCard(const std::vector<Card>& cards, absl::string_view selector);

}  // namespace layercake
