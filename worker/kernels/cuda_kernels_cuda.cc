#include "worker/kernels/cuda_kernels.h"

namespace layercake {

const CudaKernels& GetCudaKernels() {
  static constexpr CudaKernels kKernels = {
      .pack_rows = &PackRowsCuda,
      .look_up_rows = &LookUpRowsCuda,
      .convert = &ConvertCuda,
      .matmul = &MatMulCuda,
      .matmul_tensor = &MatMulTensorCuda,
      .take_inputs_apart = &TakeInputsApartCuda,
      .matmul_integers = &MatMulIntegersCuda,
      .split_rows = &SplitRowsCuda,
      .fill_rows = &FillRowsCuda,
      .add_rms_norm = &AddRmsNormCuda,
      .add = &AddCuda,
      .swiglu = &SwiGluCuda,
      .route = &RouteCuda,
      .gather_rows = &GatherRowsCuda,
      .combine_rows = &CombineRowsCuda,
      .prepare_attention = &PrepareAttentionCuda,
      .attention = &PagedAttentionCuda,
      .attention_tensor = &PagedAttentionTensorCuda,
      .summarize_logits = &SummarizeLogitsCuda,
  };
  return kKernels;
}

}  // namespace layercake
