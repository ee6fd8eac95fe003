#pragma once

// The table of CPU loops, one per instruction set. Private to this room: callers use the ops.
// Arguments are plain pointers: see README.md on what may not go into files with their own flags.

#include <cstdint>

#include "worker/device/isa.h"
#include "worker/kernels/kernel_args.h"
#include "worker/kernels/kv_layer.h"

namespace layercake {

// One (slice, kv head) of paged attention. See attention.h.
struct AttentionArgs {
  const float* q = nullptr;  // [num_tokens][num_heads * head_dim], of the slice's first token
  int64_t q_stride = 0;
  float* out = nullptr;
  int64_t out_stride = 0;
  const KvLayer* kv = nullptr;
  int64_t position = 0;  // of the slice's first token
  const int32_t* block_ids = nullptr;
  int64_t kv_head = 0;
  int64_t heads_per_kv_head = 0;
  float scale = 1;
};

struct CpuKernels {
  // Panels [begin, end), all rows.
  void (*matmul)(const MatMulArgs& args, int64_t begin, int64_t end);
  // The slice's tokens [token_begin, token_end) and, of the kv head's heads, [head_begin,
  // head_end): at most kAttentionRows of them.
  void (*attention)(const AttentionArgs& args, int64_t token_begin, int64_t token_end,
                    int64_t head_begin, int64_t head_end);
  // out[i] = x[i] / rms(x) * weight[i] over `n`.
  void (*rms_norm)(const float* x, const float* weight, float epsilon, int64_t n, float* out);
  // gate[i] = silu(gate[i]) * up[i].
  void (*swiglu)(float* gate, const float* up, int64_t n);
  // x[i] += y[i].
  void (*add)(float* x, const float* y, int64_t n);
  // x[i] = exp((x[i] - shift) * scale).
  void (*exp)(float* x, float shift, float scale, int64_t n);
};

// Rows, each a head of a token, that one call of `attention` may have.
inline constexpr int64_t kAttentionRows = 64;

// REQUIRES: this processor runs `isa`.
const CpuKernels& GetCpuKernels(CpuIsa isa);

}  // namespace layercake
