#pragma once

// Runs a grid of CUDA threads on the host: one block after another, the threads of a block as
// fibers of the calling thread.
//
// A thread runs until it waits for others, at a barrier or in a warp's collective; whose turn it is
// then is drawn by a seed, as is the order of the blocks. So a kernel that relies on an order, or
// lacks a barrier, gives different results for different seeds. Shared memory is of exactly the
// size asked for, and filled with NaNs when a block begins.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "vector_types.h"

// The built-in variables of the thread that runs.
extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;

namespace layercake::simt {

struct GridShape {
  std::string kernel;  // its name, for reports
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
};

// Runs `body` once per thread of the grid. Returns what the kernel did wrong, empty if nothing: the
// grid is given up at the first such. Reported are
// - barriers that not every thread of the block comes to, or that they come to in different lines;
// - collectives that not every lane of the mask comes to, whose lanes give different masks or
//   different operations, or that read a lane outside of the mask.
// REQUIRES: at most 1024 threads in a block.
std::string RunGrid(const GridShape& shape, uint64_t seed, absl::FunctionRef<void()> body);

// The rest is for the code of a kernel: called on a fiber.

void* SharedMemory();

// __syncthreads(). Returns for how many of the block's threads `predicate` held.
int SyncThreads(bool predicate, const char* file, int line);

// What one lane brings to a collective of its warp, and takes from it.
using CombineLanes = std::string (*)(void* const* payloads, uint32_t mask);

// Waits until every lane of `mask` is here, then `combine` runs once over their payloads (by lane;
// null outside of the mask), and returns an empty string, or what was wrong.
void WarpCollective(const char* operation, uint32_t mask, void* payload, CombineLanes combine,
                    const char* file, int line);

int CurrentLane();

// CopyAsync, EndCopies and WaitForCopies of worker/kernels/simt.cuh. Until it is waited for, a copy
// leaves NaNs where it is to go; then it takes what its source holds.
void BeginCopy(void* shared, const void* global, int bytes, bool holds);
void EndCopyGroup();
void FinishCopies(int groups_left);

}  // namespace layercake::simt
