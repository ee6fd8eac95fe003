#include "worker/device/relax.h"

namespace layercake {

void Relax() { __builtin_ia32_pause(); }

}  // namespace layercake
