#pragma once

// Products on tensor cores: inputs in pieces, and the order that sums are made in, which is the
// same for few rows (matmul_tensor_cuda.cu) and many (matmul_tensor_tile_cuda.cu). Private to both.

#include "worker/kernels/device_math.cuh"
#include "worker/kernels/kernel_args.h"
#include "worker/kernels/simt.cuh"
#include "worker/kernels/tensor_integers.cuh"
#include "worker/kernels/tensor_weights.cuh"

namespace layercake {

// See MatMulTensorCuda: that of more rows than are few.
int MatMulTensorTileCuda(const MatMulArgs& args, CUstream_st* stream);

// An input is the sum of this many bf16 pieces, to 2^-17 of itself.
inline constexpr int kTensorPieces = 2;

// A lane's part of a row of inputs, by piece: inputs 0 1 and 2 3 of its four.
struct alignas(16) InputFragment {
  uint32_t pairs[kTensorPieces][2];
};

__device__ __forceinline__ InputFragment TakePieces(float4 four) {
  InputFragment fragment;
#pragma unroll
  for (int p = 0; p < kTensorPieces; ++p) {
    fragment.pairs[p][0] = TakeBF16(four.x, four.y);
    fragment.pairs[p][1] = TakeBF16(four.z, four.w);
  }
  return fragment;
}

// Rows of inputs from `first_row` on.
struct InputRows {
  __device__ InputRows(const MatMulArgs& args, int64_t first_row)
      : x(args.x + first_row * args.x_stride),
        stride(args.x_stride),
        rows(args.rows - first_row),
        inputs(args.inputs),
        order(args.grouped.order),
        vectors(order == nullptr && stride % kLaneInputs == 0 && inputs % kLaneInputs == 0 &&
                reinterpret_cast<uintptr_t>(x) % sizeof(float4) == 0) {}

  // Inputs k to k + 3 of a row; 0 beyond the matrix.
  __device__ float4 Read(int64_t row, int64_t k) const {
    return float4{ReadOne(row, k), ReadOne(row, k + 1), ReadOne(row, k + 2), ReadOne(row, k + 3)};
  }
  __device__ float ReadOne(int64_t row, int64_t k) const {
    if (row >= rows || k >= inputs) return 0;
    return x[row * stride + (order == nullptr ? k : __ldg(order + k))];
  }

  const float* x;
  int64_t stride;
  int64_t rows;
  int64_t inputs;
  const int32_t* order;
  bool vectors;  // all can be copied four at a time
};

// How many steps there are, and how many of them one run has.
struct StepCounts {
  __device__ explicit StepCounts(int64_t inputs)
      : all(static_cast<int>((inputs + kStep - 1) / kStep)),
        of_run((all + kSegments - 1) / kSegments) {}

  int all;
  int of_run;
};

// A lane's sums of its part of a panel by kTiles tiles of rows. Element e of a tile is of output
// OutputOf(group, tile, e / 2) and row 2 * (lane % 4) + e % 2.
template <class Tiles, int kTiles>
struct Sums {
  float at[kTiles][Tiles::kOutputTiles][4];
};

// f(r, tile, e) for every element of a Sums.
template <class Tiles, int kTiles, typename F>
__device__ __forceinline__ void ForEachSum(F f) {
#pragma unroll
  for (int r = 0; r < kTiles; ++r) {
#pragma unroll
    for (int tile = 0; tile < Tiles::kOutputTiles; ++tile) {
#pragma unroll
      for (int e = 0; e < 4; ++e) f(r, tile, e);
    }
  }
}

// Sums a run of inputs, step by step.
template <class Tiles, int kTiles>
struct RunSum {
  __device__ void Add(Tiles& weights, int step, const typename Tiles::Loaded& loaded,
                      const InputFragment (&inputs)[kTiles]) {
    if constexpr (Tiles::kGrouped) {
      const int entered = weights.GroupOf(step);
      if (entered != group) {
        LeaveGroup(weights);
        weights.Enter(entered);
        group = entered;
      }
    }
#pragma unroll
    for (int tile = 0; tile < Tiles::kOutputTiles; ++tile) {
      WeightFragment fragments[Tiles::kPieces];
      weights.Fragments(loaded, tile, fragments);
#pragma unroll
      for (int r = 0; r < kTiles; ++r) {
        float(&sum)[4] = Tiles::kGrouped ? of_group.at[r][tile] : sums.at[r][tile];
#pragma unroll
        for (int p = 0; p < Tiles::kPieces; ++p) {
          // The least of pieces times the least, 2^-16 of a product at most, is left out.
#pragma unroll
          for (int q = 0; p + q < kTensorPieces; ++q) {
            MultiplyAddBF16(fragments[p].pairs, inputs[r].pairs[q], sum);
          }
        }
      }
    }
  }
  // To be called once after the last step.
  __device__ void LeaveGroup(const Tiles& weights) {
    if constexpr (Tiles::kGrouped) {
      if (group < 0) return;
      ForEachSum<Tiles, kTiles>([&](int r, int tile, int e) {
        float& part = of_group.at[r][tile][e];
        sums.at[r][tile][e] = fmaf(part, weights.scale[2 * tile + e / 2], sums.at[r][tile][e]);
        part = 0;
      });
    }
  }

  Sums<Tiles, kTiles> sums = {};
  Sums<Tiles, Tiles::kGrouped ? kTiles : 1> of_group = {};
  int group = -1;
};

}  // namespace layercake
