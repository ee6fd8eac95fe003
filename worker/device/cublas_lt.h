#pragma once

// Matrix products by cuBLASLt, for who prefers its speed to numbers that do not depend on how many
// rows are multiplied together. Plain C++: builds without CUDA have it too, and no library for it.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/model/dtype.h"
#include "worker/device/buffer.h"
#include "worker/device/cublas_lt_functions.h"

namespace layercake {

class CudaDevice;

// So many products d = alpha * a · b + beta * d, each matrix column by column, columns `ld`
// elements apart, and those of the next product a step further. Pointers are to the device's
// memory.
struct BatchedProduct {
  DType dtype = DType::kF32;  // of a and b; d is f32, and so are sums
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t count = 1;
  const void* a = nullptr;  // [m, k]
  int64_t a_ld = 0;
  int64_t a_step = 0;
  const void* b = nullptr;  // [k, n], the same for all
  int64_t b_ld = 0;
  float* d = nullptr;  // [m, n]
  int64_t d_ld = 0;
  int64_t d_step = 0;
  const float* alpha = nullptr;
  const float* beta = nullptr;
};

// One thread's at a time: the one that issues the device's work.
class CublasLt {
 public:
  // Products of fewer rows wait for memory, as the device's own do.
  static constexpr int64_t kFewestRows = 65;
  static constexpr int64_t kScratchBytes = int64_t{32} << 20;

  // Takes kScratchBytes of the device, which must outlive it.
  //   fewest_rows: of a product that is worth it.
  // Errors: FailedPrecondition (cuBLASLt does not run on that card); ResourceExhausted; the
  // device's status().
  static absl::StatusOr<std::unique_ptr<CublasLt>> Create(const CublasLtFunctions& functions,
                                                          CudaDevice& device,
                                                          int64_t fewest_rows = kFewestRows);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  std::string version() const;  // "13.1.0"
  int64_t fewest_rows() const { return fewest_rows_; }
  // Whether the card multiplies such numbers faster than f32's: bf16 from 8.0 on, f16 from 7.0 on;
  // and f32 itself.
  bool Multiplies(DType dtype) const;

  // Issues the product. False where cuBLASLt refuses it, which is logged once; then d may be
  // anything.
  bool Multiply(const BatchedProduct& product);

  bool has_refused() const { return refused_; }

  // For whoever prepares a product.
  char* scratch() const { return scratch_.As<char>(); }
  const float* one() const { return constants_.As<float>(); }
  const float* zero() const { return constants_.As<float>() + 1; }

 private:
  // All that an algorithm depends on.
  using Shape = std::array<int64_t, 12>;
  using Object = std::unique_ptr<void, int (*)(CublasLtObject)>;
  struct Plan {
    Object product, a, b, d;
    CublasLtAlgorithm algorithm;
    int status = 0;  // not 0: there is none
  };

  CublasLt(const CublasLtFunctions& functions, CudaDevice& device, int64_t fewest_rows)
      : functions_(functions), device_(device), fewest_rows_(fewest_rows) {}
  const Plan& PlanOf(const BatchedProduct& product);
  int MakePlan(const BatchedProduct& product, const std::array<uint32_t, 4>& alignments,
               Plan& plan);

  const CublasLtFunctions& functions_;
  CudaDevice& device_;
  const int64_t fewest_rows_;
  CublasLtObject handle_ = nullptr;
  Buffer scratch_;
  Buffer constants_;  // 1 and 0
  std::map<Shape, Plan> plans_;
  bool refused_ = false;
};

}  // namespace layercake
