#include "worker/device/isa.h"
#include "worker/device/relax.h"

namespace layercake {

void Relax() { __builtin_ia32_pause(); }

CpuIsa BestCpuIsa() {
  static const CpuIsa best = [] {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("f16c")) {
      return CpuIsa::kGeneric;
    }
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return avx512 ? CpuIsa::kAvx512 : CpuIsa::kAvx2;
  }();
  return best;
}

}  // namespace layercake
