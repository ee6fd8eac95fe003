#include "worker/kernels/attention_loops.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/element_loops.h"
#include "worker/kernels/matmul_loops.h"
#include "worker/kernels/vec16_generic.h"

namespace layercake {

extern const CpuKernels kCpuKernelsGeneric;
constinit const CpuKernels kCpuKernelsGeneric = {
    .matmul = MatMulLoops<Vec16Generic>::Run,
    .attention = RunAttention<Vec16Generic>,
    .rms_norm = ElementLoops<Vec16Generic>::RmsNorm,
    .swiglu = ElementLoops<Vec16Generic>::SwiGlu,
    .add = ElementLoops<Vec16Generic>::Add,
    .exp = ElementLoops<Vec16Generic>::ExpAll,
};

}  // namespace layercake
