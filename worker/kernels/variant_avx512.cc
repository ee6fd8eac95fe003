#include "worker/kernels/attention_loops.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/element_loops.h"
#include "worker/kernels/matmul_loops.h"
#include "worker/kernels/vec16_avx512.h"

namespace layercake {

extern const CpuKernels kCpuKernelsAvx512;
constinit const CpuKernels kCpuKernelsAvx512 = {
    .matmul = MatMulLoops<Vec16Avx512>::Run,
    .attention = RunAttention<Vec16Avx512>,
    .rms_norm = ElementLoops<Vec16Avx512>::RmsNorm,
    .swiglu = ElementLoops<Vec16Avx512>::SwiGlu,
    .add = ElementLoops<Vec16Avx512>::Add,
    .exp = ElementLoops<Vec16Avx512>::ExpAll,
};

}  // namespace layercake
