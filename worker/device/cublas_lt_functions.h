#pragma once

// cuBLASLt's functions, as far as we call them, found when the program runs: it starts where there
// is no cuBLAS, and a test can put others in their place. Numbers and layouts are those of
// cublasLt.h, the same in CUDA 12 and 13.

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

struct CUstream_st;  // what a cudaStream_t points to

namespace layercake {

// What the library makes for its callers: a handle, a product's description, the layout of one of
// its matrices, what is asked of an algorithm.
using CublasLtObject = void*;

// cublasLtMatmulHeuristicResult_t. The algorithm is for Matmul alone to read.
struct CublasLtAlgorithm {
  uint64_t algorithm[8];
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
};

// cudaDataType_t, cublasComputeType_t, cublasLtPointerMode_t.
inline constexpr int kCudaF32 = 0;
inline constexpr int kCudaF16 = 2;
inline constexpr int kCudaBF16 = 14;
inline constexpr int kCublasComputeF32 = 68;
inline constexpr int32_t kCublasPointersToDevice = 1;

// Attributes: of a product, of a matrix, of what is asked.
inline constexpr int kProductPointerMode = 2;          // int32_t
inline constexpr int kMatrixBatchCount = 5;            // int32_t
inline constexpr int kMatrixBatchStep = 6;             // int64_t, in elements
inline constexpr int kAskMostWorkspace = 1;            // uint64_t, in bytes
inline constexpr int kAskAlignment[4] = {5, 6, 7, 8};  // uint32_t, in bytes, of A, B, C and D

// All but the last two return a cublasStatus_t, 0 where they succeed.
struct CublasLtFunctions {
  int (*create)(CublasLtObject* handle);
  int (*destroy)(CublasLtObject handle);
  int (*product_create)(CublasLtObject* product, int compute_type, int scale_type);
  int (*product_set)(CublasLtObject product, int attribute, const void* value, size_t bytes);
  int (*product_destroy)(CublasLtObject product);
  int (*matrix_create)(CublasLtObject* matrix, int type, uint64_t rows, uint64_t cols,
                       int64_t leading_dimension);
  int (*matrix_set)(CublasLtObject matrix, int attribute, const void* value, size_t bytes);
  int (*matrix_destroy)(CublasLtObject matrix);
  int (*ask_create)(CublasLtObject* ask);
  int (*ask_set)(CublasLtObject ask, int attribute, const void* value, size_t bytes);
  int (*ask_destroy)(CublasLtObject ask);
  int (*find_algorithms)(CublasLtObject handle, CublasLtObject product, CublasLtObject a,
                         CublasLtObject b, CublasLtObject c, CublasLtObject d, CublasLtObject ask,
                         int most, CublasLtAlgorithm* found, int* num_found);
  int (*multiply)(CublasLtObject handle, CublasLtObject product, const void* alpha, const void* a,
                  CublasLtObject a_matrix, const void* b, CublasLtObject b_matrix, const void* beta,
                  const void* c, CublasLtObject c_matrix, void* d, CublasLtObject d_matrix,
                  const void* algorithm, void* workspace, size_t workspace_bytes,
                  CUstream_st* stream);
  const char* (*status_text)(int status);
  size_t (*version)();  // 130100 for 13.1.0
};

// Loads libcublasLt.so.13, or .12, once; LD_LIBRARY_PATH says where it may be. The functions live
// as long as the process. Errors: Unimplemented (a build without CUDA); NotFound (no library).
absl::StatusOr<const CublasLtFunctions*> LoadCublasLt();

}  // namespace layercake
