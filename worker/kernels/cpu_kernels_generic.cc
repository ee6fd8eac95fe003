#include "worker/kernels/cpu_kernels.h"

namespace layercake {

extern const CpuKernels kCpuKernelsGeneric;

const CpuKernels& GetCpuKernels(CpuIsa) { return kCpuKernelsGeneric; }

}  // namespace layercake
