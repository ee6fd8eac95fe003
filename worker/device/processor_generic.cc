#include <atomic>

#include "worker/device/isa.h"
#include "worker/device/relax.h"

namespace layercake {

void Relax() { std::atomic_signal_fence(std::memory_order_seq_cst); }

CpuIsa BestCpuIsa() { return CpuIsa::kGeneric; }

}  // namespace layercake
