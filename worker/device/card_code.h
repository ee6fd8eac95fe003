#pragma once

// What code this program has for a card. Of a build with CUDA alone; this header needs none.

namespace layercake {

// The compute capability, as 52, that the code was compiled for which runs on the calling thread's
// card: at most the card's, less where it is PTX for older ones. Begins to use the card. Returns a
// cudaError_t: there may be no code for it.
int AskCodeCapability(int* capability);

}  // namespace layercake
