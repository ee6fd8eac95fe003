#pragma once

// What kernels do on a card, by its compute capability.

#include "absl/strings/string_view.h"

namespace layercake {

// One row of the table. Within a tier every answer of our kernels is bitwise the same, whatever the
// card.
struct CudaTier {
  int min_capability;            // 52 for 5.2
  absl::string_view name;        // "8.x"
  absl::string_view arithmetic;  // in words, for people
  bool dot_products;             // of four bytes in one instruction (dp4a)
  bool tensor_cores;             // multiply f16 and bf16, and sum in f32
};

// The tier of a card: the last row that its capability reaches, or that of the code for it where
// that is less. A card older than the first row gets the first, whose kernels are the plainest.
//   code_capability: what this program's code for the card was compiled for; 0: not known, as if
//   for the card.
const CudaTier& TierOf(int compute_capability, int code_capability = 0);

}  // namespace layercake
