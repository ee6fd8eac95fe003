#pragma once

// The CUDA kernels, as the ops launch them. Private to this room; plain, so that device code may
// include it. Every pointer is to the device's memory unless it says otherwise. All are
// asynchronous on `stream`, and return the launch's cudaError_t.

#include <cstdint>

#include "worker/kernels/kernel_args.h"
#include "worker/kernels/kv_layer.h"
#include "worker/kernels/logit_summary.h"

struct CUstream_st;

namespace layercake {

// A matrix of f32; as TensorView.
struct FloatRows {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;
};

// Rows of a row-major matrix to be packed as outputs [first_output, first_output + rows).
struct PackRowsArgs {
  const void* source = nullptr;  // [rows, inputs] of pinned host memory, any alignment
  DType source_dtype = DType::kF32;
  int64_t first_output = 0;
  int64_t rows = 0;
  int64_t inputs = 0;
  void* panels = nullptr;
  DType dtype = DType::kF32;
};

struct TakeApartArgs {
  FloatRows x;
  const int32_t* order = nullptr;  // of a matrix's inputs; see GroupedWeights
  InputPieces pieces;              // of x.rows rows
};

// Rows of f32 as two numbers of 16 bits each: a sum, times `unscale`.
struct SplitRowsArgs {
  FloatRows x;
  DType dtype = DType::kBF16;  // or f16
  // Of f16, [x.rows] for the kernels' own use, and what x is multiplied by, and then the sums.
  float* largest = nullptr;
  float* scale = nullptr;
  float* unscale = nullptr;
  void* first = nullptr;  // [x.rows, x.cols], rows `stride` apart; as `second`
  void* second = nullptr;
  int64_t stride = 0;
};

struct LookUpArgs {
  const void* table = nullptr;
  DType dtype = DType::kF32;
  const int32_t* ids = nullptr;  // [out.rows], may be pinned host memory
  FloatRows out;
};

struct ConvertArgs {
  const void* from = nullptr;
  DType from_dtype = DType::kF32;
  int64_t count = 0;
  void* to = nullptr;
  DType to_dtype = DType::kF32;
};

// Neighbouring tokens of one slice that share a pass over keys and values.
struct AttentionTile {
  int32_t row = 0;  // the first token's, in the step
  int32_t num_tokens = 0;
  int32_t position = 0;     // of the first token
  int32_t first_block = 0;  // where the slice's table begins in StepOnDevice::blocks
};

// A step's slices; see step_table.h.
struct StepOnDevice {
  const AttentionTile* tiles = nullptr;
  const int32_t* blocks = nullptr;
  int32_t num_tiles = 0;
  int32_t tile_tokens = 0;  // at most so many tokens in a tile
  // Of the longest slice, its own tokens included, or more: grids are made for so many.
  int32_t num_positions = 0;
};

struct PrepareAttentionArgs {
  FloatRows qkv;
  HeadNorms norms;
  FloatRows angles;
  KvLayer kv;
  StepOnDevice step;
};

struct PagedAttentionArgs {
  FloatRows q;
  FloatRows out;
  KvLayer kv;
  StepOnDevice step;
  float scale = 1;
  // Room for parts of long sequences that are attended to apart; may be too small, or none: then
  // they are taken one after another, with the same result.
  float* scratch = nullptr;
  int64_t scratch_floats = 0;
  int num_multiprocessors = 1;
};

int PackRowsCuda(const PackRowsArgs& args, CUstream_st* stream);
int LookUpRowsCuda(const LookUpArgs& args, CUstream_st* stream);
int ConvertCuda(const ConvertArgs& args, CUstream_st* stream);
// The same bits of a row, however many there are and on however many multiprocessors.
int MatMulCuda(const MatMulArgs& args, CUstream_st* stream);
// On tensor cores, from compute capability 8.0 on. REQUIRES: the weights are 16-bit numbers, or
// integers in groups of at least 16 inputs.
int MatMulTensorCuda(const MatMulArgs& args, CUstream_st* stream);
// Of integers, by dot products of bytes, from compute capability 6.1 on: takes x apart, then
// multiplies what it was taken into (args.pieces; args.x is not read). REQUIRES: groups of at least
// kStepInputs inputs.
int TakeInputsApartCuda(const TakeApartArgs& args, CUstream_st* stream);
int MatMulIntegersCuda(const MatMulArgs& args, CUstream_st* stream);
// What a library's product is given; see dense_products.h.
int SplitRowsCuda(const SplitRowsArgs& args, CUstream_st* stream);
// Every row of `out` is a copy of `row`.
int FillRowsCuda(const float* row, const FloatRows& out, CUstream_st* stream);
// x += y (where y is not null), then out = x / rms(x) * weight; `out` may be y or x.
int AddRmsNormCuda(const FloatRows& x, const FloatRows* y, const float* weight, float epsilon,
                   const FloatRows& out, CUstream_st* stream);
int AddCuda(const FloatRows& x, const FloatRows& y, CUstream_st* stream);
int SwiGluCuda(const FloatRows& gate, const FloatRows& up, CUstream_st* stream);
// See experts.h; `scores` stay as they are.
int RouteCuda(const FloatRows& scores, bool renormalized, const ExpertRoutes& routes,
              CUstream_st* stream);
int GatherRowsCuda(const FloatRows& x, const ExpertRoutes& routes, const FloatRows& out,
                   CUstream_st* stream);
int CombineRowsCuda(const FloatRows& x, const ExpertRoutes& routes, const FloatRows& out,
                    CUstream_st* stream);
int PrepareAttentionCuda(const PrepareAttentionArgs& args, CUstream_st* stream);
int PagedAttentionCuda(const PagedAttentionArgs& args, CUstream_st* stream);
// On tensor cores, from compute capability 8.0 on. REQUIRES: keys and values are f16, of heads of a
// multiple of 8 dimensions.
int PagedAttentionTensorCuda(const PagedAttentionArgs& args, CUstream_st* stream);
// See summarize_logits.h; all but the logits may be pinned host memory.
int SummarizeLogitsCuda(const FloatRows& logits, const LogitQuery* queries,
                        const LogitChange* changes, LogitSummary* summaries, double* sums,
                        CUstream_st* stream);

// The functions above, for callers that must link without them.
struct CudaKernels {
  decltype(&PackRowsCuda) pack_rows;
  decltype(&LookUpRowsCuda) look_up_rows;
  decltype(&ConvertCuda) convert;
  decltype(&MatMulCuda) matmul;
  decltype(&MatMulTensorCuda) matmul_tensor;
  decltype(&TakeInputsApartCuda) take_inputs_apart;
  decltype(&MatMulIntegersCuda) matmul_integers;
  decltype(&SplitRowsCuda) split_rows;
  decltype(&FillRowsCuda) fill_rows;
  decltype(&AddRmsNormCuda) add_rms_norm;
  decltype(&AddCuda) add;
  decltype(&SwiGluCuda) swiglu;
  decltype(&RouteCuda) route;
  decltype(&GatherRowsCuda) gather_rows;
  decltype(&CombineRowsCuda) combine_rows;
  decltype(&PrepareAttentionCuda) prepare_attention;
  decltype(&PagedAttentionCuda) attention;
  decltype(&PagedAttentionTensorCuda) attention_tensor;
  decltype(&SummarizeLogitsCuda) summarize_logits;
};

// REQUIRES: this build has CUDA; one without has no CudaDevice either.
const CudaKernels& GetCudaKernels();

// Rows, each a head of a token, that attention takes in one pass: without tensor cores, and with
// them. A tile has so many where its heads allow.
inline constexpr int kAttentionTileRows = 16;
inline constexpr int kTensorTileRows = 64;
// Positions that attention takes at once.
inline constexpr int kAttentionChunk = 128;
// Heads may have so many dimensions.
inline constexpr int kMaxCudaHeadDim = 256;

}  // namespace layercake
