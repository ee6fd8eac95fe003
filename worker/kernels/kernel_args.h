#pragma once

// What the kernels of every kind of device are given: plain pointers and numbers, so that device
// code and files with their own instruction set may include it.

#include <cstdint>

#include "common/model/dtype.h"
#include "common/model/packing.h"
#include "worker/kernels/input_pieces.h"

namespace layercake {

// Weights held as unsigned integers q: a weight is scale * (q - zero), which an f32 holds exactly.
// A row is kPanelOutputs integers: bytes, or 4 bits each, of outputs o and o + 32 in byte o.
struct GroupedWeights {
  int bits = 0;                  // 4 or 8; 0: the weights are floating-point numbers
  int group_shift = 0;           // the k-th row is of group k >> group_shift
  int64_t groups = 0;            // of an output
  const void* scales = nullptr;  // [panel][group][kPanelOutputs] of scale_dtype
  DType scale_dtype = DType::kF16;
  const uint8_t* zeros = nullptr;  // [panel][group] a row each; null: all are 2^(bits - 1)
  const int32_t* order = nullptr;  // [inputs]: the k-th row is of input order[k]; null: of input k
};

// Norms of heads, each by itself, with a weight of [head_dim] f32; null where there is none.
struct HeadNorms {
  const float* queries = nullptr;
  const float* keys = nullptr;
  float epsilon = 0;
};

// Neighbouring rows that one expert takes; none where both ends are 0.
struct ExpertRows {
  int32_t expert = 0;
  int32_t begin = 0;
  int32_t end = 0;
};

// Where a step's tokens go; see experts.h. Tokens have experts_per_token rows each, which are
// sorted by expert.
struct ExpertRoutes {
  int64_t num_tokens = 0;
  int64_t num_experts = 0;
  int64_t experts_per_token = 0;
  ExpertRows* groups = nullptr;  // [num_groups()], by expert; those without rows last
  int32_t* experts = nullptr;    // [num_tokens][experts_per_token], the likeliest first
  float* weights = nullptr;      // of each
  int32_t* places = nullptr;     // the row of each
  int32_t* tokens = nullptr;     // [rows()]: the token of each row

  constexpr int64_t rows() const { return num_tokens * experts_per_token; }
  constexpr int64_t num_groups() const { return rows() < num_experts ? rows() : num_experts; }
};

// out[r][o] = bias[o] + sum over k of x[r][k] * weights(o, k). See matmul.h.
struct MatMulArgs {
  const float* x = nullptr;
  int64_t x_stride = 0;
  int64_t rows = 0;
  const void* weights = nullptr;  // panels
  DType dtype = DType::kF32;
  GroupedWeights grouped;
  int64_t inputs = 0;
  int64_t outputs = 0;
  const float* bias = nullptr;  // [outputs padded to whole panels], or null
  float* out = nullptr;
  int64_t out_stride = 0;
  InputPieces pieces;       // of x, for matmul_integers alone
  int64_t first_panel = 0;  // of the weights that are multiplied
  // Where experts are: each has its outputs' panels after those before it, and multiplies its own
  // rows of x and out. `rows` is then how many one has, roughly.
  const ExpertRows* groups = nullptr;
  int64_t num_groups = 1;
  // Of the CUDA device. Decides how fast, not what comes out.
  int num_multiprocessors = 1;
};

// The product of one of `all`'s groups.
constexpr MatMulArgs OfGroup(const MatMulArgs& all, int64_t group) {
  if (all.groups == nullptr) return all;
  const ExpertRows& rows = all.groups[group];
  MatMulArgs one = all;
  one.x += rows.begin * all.x_stride;
  one.out += rows.begin * all.out_stride;
  one.pieces = all.pieces.From(rows.begin);
  one.rows = rows.end - rows.begin;
  one.first_panel = rows.expert * NumPanels(all.outputs);
  one.groups = nullptr;
  return one;
}

}  // namespace layercake
