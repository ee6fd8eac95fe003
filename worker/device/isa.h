#pragma once

// The instruction sets that CPU kernels are compiled for.

#include <vector>

#include "absl/strings/string_view.h"

namespace layercake {

// Ascending: a processor that runs one runs those before it. kAvx2 includes FMA and F16C, kAvx512
// the F, BW, DQ and VL parts.
enum class CpuIsa { kGeneric, kAvx2, kAvx512 };

absl::string_view CpuIsaName(CpuIsa isa);  // "generic", "avx2", "avx512"

// The best that this processor and operating system run, and that this build has.
CpuIsa BestCpuIsa();

// All up to the best, ascending.
std::vector<CpuIsa> SupportedCpuIsas();

}  // namespace layercake
