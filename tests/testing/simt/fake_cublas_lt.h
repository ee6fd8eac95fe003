#pragma once

// cuBLASLt on emulated cards, as LoadCublasLt has it there: products are done when it is their turn
// in the stream, each element a sum in double, rounded once.

#include <cstdint>

namespace layercake::simt {

struct CublasLtScript {
  bool no_handle = false;  // the library does not know the card
  bool finds_no_algorithm = false;
  int refuses_from = -1;  // the product from which on it refuses them; -1: none
};

// For what is made and multiplied from now on.
void SetCublasLt(const CublasLtScript& script);

// Since the last SetCublasLt.
struct CublasLtCounts {
  int products = 0;    // asked for
  int algorithms = 0;  // looked for
  int open = 0;        // objects not destroyed yet, whenever they were made
};
CublasLtCounts CountCublasLt();

}  // namespace layercake::simt
