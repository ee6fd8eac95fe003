#pragma once

// What a test may set up of the emulated CUDA devices, and see of them.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cuda_runtime_api.h"

namespace layercake::simt {

struct DeviceSpec {
  int major = 8;
  int minor = 0;
  int64_t memory_bytes = int64_t{1} << 30;
  // What the program's code for it was compiled for, as 52; 0: its own; kNoCode: there is none.
  int code_capability = 0;
  cudaError_t refusal = cudaSuccess;  // what beginning to use it fails with
};
inline constexpr int kNoCode = -1;

// Replaces all devices; those before are gone with their memory. Without a call the devices are
// those that the environment's LAYERCAKE_EMULATED_DEVICES names, as in "8.0:1GiB,5.2:512MiB"
// (none: ""), else one of DeviceSpec's defaults.
// REQUIRES: no other thread uses them.
void SetDevices(const std::vector<DeviceSpec>& specs);

// The order of blocks and threads, and of streams, from now on; every launch and wait draws anew.
void SetSeed(uint64_t seed);

// From now on all work on the device fails with `error`, as after a fault of the hardware.
void BreakDevice(int device, cudaError_t error);

// Whether this process uses the device: some call began a context there.
bool IsUsed(int device);

// What the last kernel that failed did wrong.
std::string LastReport();

// Kernels that ran since the program began.
int64_t NumLaunches();

// Calls of cudaFuncSetAttribute since the program began.
int64_t NumFunctionAttributes();

// Waits since the program began that take up a core as long as they last.
int64_t NumSpinningWaits();

// Counted since the program began.
struct GraphCounts {
  int64_t issued = 0;    // launches by the host: of kernels that no capture took, and of graphs
  int64_t captures = 0;  // begun
  int64_t launches = 0;  // of graphs
  int64_t alive = 0;     // graphs that can be launched now
};
GraphCounts CountGraphs();

enum class GraphCall { kBeginCapture, kEndCapture, kInstantiate, kLaunch };

// From now on such calls fail with `error`; cudaSuccess: no more.
void RefuseGraphs(GraphCall call, cudaError_t error);

}  // namespace layercake::simt
