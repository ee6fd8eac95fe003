#include "worker/kernels/attention_loops.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/element_loops.h"
#include "worker/kernels/matmul_loops.h"
#include "worker/kernels/vec16_avx2.h"

namespace layercake {

extern const CpuKernels kCpuKernelsAvx2;
constinit const CpuKernels kCpuKernelsAvx2 = {
    .matmul = MatMulLoops<Vec16Avx2>::Run,
    .attention = RunAttention<Vec16Avx2>,
    .rms_norm = ElementLoops<Vec16Avx2>::RmsNorm,
    .swiglu = ElementLoops<Vec16Avx2>::SwiGlu,
    .add = ElementLoops<Vec16Avx2>::Add,
    .exp = ElementLoops<Vec16Avx2>::ExpAll,
};

}  // namespace layercake
