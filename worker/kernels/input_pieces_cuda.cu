#include "worker/kernels/input_pieces.h"

#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

constexpr int kThreads = 128;
constexpr int kQuad = 4;

// A thread per four inputs, a run in neighbouring lanes.
__global__ void __launch_bounds__(kThreads) TakeApartKernel(TakeApartArgs args) {
  // The most that two pieces hold, so that neither of their bytes overflows.
  constexpr float kMost = 127 * 256 + 127;
  // Of a run of less, steps are as if it were so large: scales and their inverses stay normal.
  constexpr float kLeast = 0x1p-100f;
  const InputPieces& pieces = args.pieces;
  const int64_t row = blockIdx.x;
  const int64_t quad = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  const float* const x = args.x.data + row * args.x.stride;
  float inputs[kQuad];
  int bits = 0;  // of the largest magnitude, which are ordered as it is; NaN's are the largest
#pragma unroll
  for (int i = 0; i < kQuad; ++i) {
    const int64_t k = quad * kQuad + i;
    inputs[i] = k < args.x.cols ? x[args.order == nullptr ? k : __ldg(args.order + k)] : 0.0f;
    const int magnitude = __float_as_int(inputs[i]) & 0x7fffffff;
    bits = bits < magnitude ? magnitude : bits;
  }
  const int run_quads = 1 << (pieces.run_shift - 2);
  for (int with = run_quads / 2; with > 0; with /= 2) {
    const int other = __shfl_xor_sync(kAllLanes, bits, with);
    bits = bits < other ? other : bits;
  }
  const bool finite = bits < 0x7f800000;
  const float largest = __int_as_float(bits) < kLeast ? kLeast : __int_as_float(bits);
  const float per_step = kMost / largest;
  InputQuad both = {};
  int sums = 0;
#pragma unroll
  for (int i = 0; i < kQuad; ++i) {
    const int steps = finite ? static_cast<int>(rintf(inputs[i] * per_step)) : 0;
    const int first = (steps + 128) >> 8;
    const int second = steps - first * 256;
    both.first |= static_cast<uint32_t>(first & 0xff) << (8 * i);
    both.second |= static_cast<uint32_t>(second & 0xff) << (8 * i);
    sums += first * 65536 + second;
  }
  for (int with = run_quads / 2; with > 0; with /= 2) {
    sums += __shfl_xor_sync(kAllLanes, sums, with);
  }
  const int64_t quads = pieces.steps * InputPieces::kStepQuads;
  if (quad >= quads) return;
  pieces.quads[row * quads + quad] = both;
  if (quad % run_quads == 0) {
    pieces.runs[row * pieces.num_runs + quad / run_quads] = {largest / kMost, sums};
  }
}

}  // namespace

int TakeInputsApartCuda(const TakeApartArgs& args, CUstream_st* stream) {
  return Launch("take_inputs_apart", TakeApartKernel,
                dim3(static_cast<unsigned>(args.x.rows),
                     CeilDivide(args.pieces.steps * InputPieces::kStepQuads, kThreads)),
                kThreads, 0, stream, args);
}

}  // namespace layercake
