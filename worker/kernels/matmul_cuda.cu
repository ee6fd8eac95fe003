#include "common/model/costs.h"
#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

// An element is the sum of kChains chains: chain c adds x[k] * w[k] for k = c, c + kChains, ...,
// and the chains are joined in one fixed tree. It is so whatever the rows and the blocks' shape.
constexpr int kChains = 64;
// Threads of a chain, each for sixteen bytes of neighbouring outputs: a warp reads four inputs'
// weights, 128 bytes each.
constexpr int kGroups = 8;
constexpr int kThreads = kChains * kGroups;
constexpr int kWarps = kThreads / kWarpLanes;
constexpr int kUnroll = 4;  // loads under way at once

template <typename T, int kRows>
__global__ void __launch_bounds__(kThreads) MatMulKernel(MatMulArgs args) {
  constexpr int kOutputs = Vector<T>::kCount;        // of a thread
  constexpr int kBlockOutputs = kGroups * kOutputs;  // of a block: 32 or 64
  const int thread = static_cast<int>(threadIdx.x);
  const int chain = thread / kGroups;
  const int64_t first_output = int64_t{blockIdx.x} * kBlockOutputs;
  const int64_t first_row = int64_t{blockIdx.y} * kRows;
  const int64_t rows = args.rows - first_row < kRows ? args.rows - first_row : kRows;
  const T* const weights = static_cast<const T*>(args.weights) +
                           first_output / kPanelOutputs * kPanelOutputs * args.inputs +
                           first_output % kPanelOutputs + thread % kGroups * kOutputs;
  const float* const x = args.x + first_row * args.x_stride;

  float sums[kRows][kOutputs] = {};
  for (int64_t k = chain; k < args.inputs; k += kUnroll * kChains) {
    Vector<T> loaded[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t input = k + u * kChains;
      if (input < args.inputs) {
        loaded[u].words = __ldg(reinterpret_cast<const uint4*>(weights + input * kPanelOutputs));
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t input = k + u * kChains;
      if (input >= args.inputs) break;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float factor = r < rows ? x[r * args.x_stride + input] : 0.0f;
#pragma unroll
        for (int o = 0; o < kOutputs; ++o) {
          sums[r][o] = fmaf(Widen(loaded[u].values[o]), factor, sums[r][o]);
        }
      }
    }
  }

  // The four chains of a warp, then the warps in order.
  float* const partial = &SharedAs<float>();  // [kWarps][kRows][kBlockOutputs]
  const int lane = thread % kWarpLanes;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      float sum = sums[r][o];
      sum += __shfl_xor_sync(kAllLanes, sum, kGroups);
      sum += __shfl_xor_sync(kAllLanes, sum, 2 * kGroups);
      if (lane < kGroups) {
        partial[(thread / kWarpLanes * kRows + r) * kBlockOutputs + lane * kOutputs + o] = sum;
      }
    }
  }
  __syncthreads();
  for (int i = thread; i < rows * kBlockOutputs; i += kThreads) {
    const int64_t output = first_output + i % kBlockOutputs;
    if (output >= args.outputs) continue;
    float sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += partial[warp * kRows * kBlockOutputs + i];
    if (args.bias != nullptr) sum += args.bias[output];
    args.out[(first_row + i / kBlockOutputs) * args.out_stride + output] = sum;
  }
}

template <typename T, int kRows>
int Run(const MatMulArgs& args, CUstream_st* stream) {
  constexpr int kBlockOutputs = kGroups * Vector<T>::kCount;
  return Launch("matmul", MatMulKernel<T, kRows>,
                dim3(CeilDivide(args.outputs, kBlockOutputs), CeilDivide(args.rows, kRows)),
                kThreads, sizeof(float) * kWarps * kRows * kBlockOutputs, stream, args);
}

}  // namespace

int MatMulCuda(const MatMulArgs& args, CUstream_st* stream) {
  return WithStorage(args.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (args.rows == 1) return Run<T, 1>(args, stream);
    if (args.rows == 2) return Run<T, 2>(args, stream);
    if (args.rows <= 4) return Run<T, 4>(args, stream);
    return Run<T, 8>(args, stream);
  });
}

}  // namespace layercake
