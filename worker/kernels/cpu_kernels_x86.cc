#include "worker/kernels/cpu_kernels.h"

namespace layercake {

extern const CpuKernels kCpuKernelsAvx512;
extern const CpuKernels kCpuKernelsAvx2;
extern const CpuKernels kCpuKernelsGeneric;

const CpuKernels& GetCpuKernels(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kAvx512:
      return kCpuKernelsAvx512;
    case CpuIsa::kAvx2:
      return kCpuKernelsAvx2;
    case CpuIsa::kGeneric:
      break;
  }
  return kCpuKernelsGeneric;
}

}  // namespace layercake
