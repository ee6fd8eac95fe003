#pragma once

// The CUDA cards of this host, found without a driver having to be there.

#include <cstdint>
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
  int64_t free_bytes = 0;  // now
  // OK: it can be used. Unavailable: another process has it for itself, or nobody may use it.
  // ResourceExhausted: its memory is full. Internal: it does not work. Says which card and what to
  // do.
  absl::Status usable;

  // What --device takes: "cuda:0".
  std::string selector() const;
};

// How a call of the CUDA runtime ended: cudaError_t, and its text.
struct CudaResult {
  int code = 0;
  std::string text;
};

// The part of the CUDA runtime that finds cards: NVIDIA's, or a test's.
class CudaRuntime {
 public:
  virtual ~CudaRuntime() = default;

  // NVIDIA's, or null in a build without CUDA.
  static CudaRuntime* Real();

  virtual int RuntimeVersion() = 0;  // 13000 for 13.0: what this program was built with
  virtual int DriverVersion() = 0;   // the newest that the driver serves; 0: there is no driver
  virtual CudaResult CountCards(int* count) = 0;
  // Fills in what is known without using the card: all but `free_bytes` and `usable`.
  virtual CudaResult Describe(int index, Card* card) = 0;
  // Begins to use the card, as any work on it would.
  virtual CudaResult Use(int index, int64_t* free_bytes) = 0;
};

// All visible cards, usable or not. `runtime` may be null. Using each card to learn its free memory
// takes part of a second and leaves a context on it until the process ends. Errors: Unimplemented
// (a build without CUDA); NotFound (no driver); FailedPrecondition (the driver is older than this
// program's CUDA); Internal (the driver does not work). Each says what to do.
absl::StatusOr<std::vector<Card>> ListCards(CudaRuntime* runtime);

// The card that `selector` names: "cuda:1", or a UUID or what a single one begins with.
// Errors: OutOfRange (no such card; says which there are); the card's `usable`.
absl::StatusOr<Card> FindCard(const std::vector<Card>& cards, absl::string_view selector);

}  // namespace layercake
