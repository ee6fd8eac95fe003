#include "tests/testing/simt/fake_cublas_lt.h"

#include <cstring>

#include "tests/testing/simt/runtime_state.h"
#include "worker/device/cublas_lt_functions.h"
#include "worker/kernels/numbers.h"

namespace layercake::simt {
namespace {

// cublasStatus_t.
constexpr int kSuccess = 0;
constexpr int kInvalidValue = 7;
constexpr int kArchMismatch = 8;
constexpr int kNotSupported = 15;

struct Handle {};
struct Product {
  int32_t pointer_mode = 0;
};
struct Matrix {
  int type = kCudaF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t ld = 0;
  int32_t count = 1;
  int64_t step = 0;

  int64_t ElementBytes() const { return type == kCudaF32 ? 4 : 2; }
};
struct Ask {
  uint64_t most_workspace = 0;
  uint32_t alignments[4] = {256, 256, 256, 256};
};
// What an algorithm is made for, and not to be used without.
struct Algorithm {
  uint32_t alignments[4];
};

struct State {
  CublasLtScript script;
  CublasLtCounts counts;
};
State& TheState() {
  static State state;
  return state;
}

template <typename T>
int Keep(CublasLtObject* object, const T& made) {
  *object = new T(made);
  ++TheState().counts.open;
  return kSuccess;
}
template <typename T>
int Destroy(CublasLtObject object) {
  delete static_cast<T*>(object);
  --TheState().counts.open;
  return kSuccess;
}

template <typename T>
int Set(T& attribute, const void* value, size_t bytes) {
  if (bytes != sizeof(T)) return kInvalidValue;
  std::memcpy(&attribute, value, bytes);
  return kSuccess;
}
int SetOfProduct(CublasLtObject object, int attribute, const void* value, size_t bytes) {
  auto& product = *static_cast<Product*>(object);
  return attribute == 2 ? Set(product.pointer_mode, value, bytes) : kInvalidValue;
}
int SetOfMatrix(CublasLtObject object, int attribute, const void* value, size_t bytes) {
  auto& matrix = *static_cast<Matrix*>(object);
  if (attribute == 5) return Set(matrix.count, value, bytes);
  return attribute == 6 ? Set(matrix.step, value, bytes) : kInvalidValue;
}
int SetOfAsk(CublasLtObject object, int attribute, const void* value, size_t bytes) {
  auto& ask = *static_cast<Ask*>(object);
  if (attribute == 1) return Set(ask.most_workspace, value, bytes);
  if (attribute < 5 || attribute > 8) return kInvalidValue;
  return Set(ask.alignments[attribute - 5], value, bytes);
}

int CreateHandle(CublasLtObject* handle) {
  return TheState().script.no_handle ? kArchMismatch : Keep(handle, Handle());
}
int CreateProduct(CublasLtObject* product, int compute_type, int scale_type) {
  if (compute_type != 68 || scale_type != kCudaF32) return kNotSupported;
  return Keep(product, Product());
}
int CreateMatrix(CublasLtObject* matrix, int type, uint64_t rows, uint64_t cols, int64_t ld) {
  if (rows == 0 || cols == 0 || ld < static_cast<int64_t>(rows)) return kInvalidValue;
  return Keep(matrix, Matrix{.type = type,
                             .rows = static_cast<int64_t>(rows),
                             .cols = static_cast<int64_t>(cols),
                             .ld = ld});
}

int CreateAsk(CublasLtObject* ask) { return Keep(ask, Ask()); }

bool Fit(const Matrix& a, const Matrix& b, const Matrix& c, const Matrix& d) {
  return a.type == b.type && c.type == kCudaF32 && d.type == kCudaF32 && a.rows == d.rows &&
         a.cols == b.rows && b.cols == d.cols && c.rows == d.rows && c.cols == d.cols &&
         a.count == d.count && b.count == d.count && c.count == d.count;
}

int FindAlgorithms(CublasLtObject, CublasLtObject, CublasLtObject a, CublasLtObject b,
                   CublasLtObject c, CublasLtObject d, CublasLtObject ask, int most,
                   CublasLtAlgorithm* found, int* num_found) {
  State& state = TheState();
  ++state.counts.algorithms;
  *num_found = 0;
  if (most < 1 || !Fit(*static_cast<Matrix*>(a), *static_cast<Matrix*>(b), *static_cast<Matrix*>(c),
                       *static_cast<Matrix*>(d))) {
    return kInvalidValue;
  }
  if (state.script.finds_no_algorithm) return kNotSupported;
  Algorithm algorithm;
  std::memcpy(algorithm.alignments, static_cast<Ask*>(ask)->alignments, sizeof(algorithm));
  *found = {};
  std::memcpy(found->algorithm, &algorithm, sizeof(algorithm));
  *num_found = 1;
  return kSuccess;
}

float Load(const Matrix& matrix, const void* data, int64_t place) {
  if (matrix.type == kCudaF32) return static_cast<const float*>(data)[place];
  const uint16_t bits = static_cast<const uint16_t*>(data)[place];
  return matrix.type == kCudaF16 ? ToFloat(Half{bits}) : ToFloat(BFloat16{bits});
}

// Whether every product's matrix begins where the algorithm wants it to.
bool IsAligned(const Matrix& matrix, const void* data, uint32_t alignment) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  const int64_t step = matrix.count > 1 ? matrix.step * matrix.ElementBytes() : 0;
  return address % alignment == 0 && step % alignment == 0;
}

int Multiply(CublasLtObject, CublasLtObject product, const void* alpha, const void* a,
             CublasLtObject a_matrix, const void* b, CublasLtObject b_matrix, const void* beta,
             const void* c, CublasLtObject, void* d, CublasLtObject d_matrix, const void* opaque,
             void*, size_t workspace_bytes, CUstream_st* stream) {
  State& state = TheState();
  const int number = state.counts.products++;
  if (state.script.refuses_from >= 0 && number >= state.script.refuses_from) return kNotSupported;
  const Matrix of_a = *static_cast<Matrix*>(a_matrix), of_b = *static_cast<Matrix*>(b_matrix),
               of_d = *static_cast<Matrix*>(d_matrix);
  Algorithm algorithm;
  std::memcpy(&algorithm, opaque, sizeof(algorithm));
  if (static_cast<Product*>(product)->pointer_mode != 1 || workspace_bytes != 0 || c != d ||
      !IsAligned(of_a, a, algorithm.alignments[0]) ||
      !IsAligned(of_b, b, algorithm.alignments[1]) ||
      !IsAligned(of_d, d, algorithm.alignments[3])) {
    return kInvalidValue;
  }
  const auto work = [=] {
    const double times = *static_cast<const float*>(alpha);
    const double keep = *static_cast<const float*>(beta);
    for (int64_t i = 0; i < of_d.count; ++i) {
      for (int64_t col = 0; col < of_d.cols; ++col) {
        for (int64_t row = 0; row < of_d.rows; ++row) {
          double sum = 0;
          for (int64_t k = 0; k < of_a.cols; ++k) {
            sum += double{Load(of_a, a, i * of_a.step + k * of_a.ld + row)} *
                   Load(of_b, b, i * of_b.step + col * of_b.ld + k);
          }
          float& to = static_cast<float*>(d)[i * of_d.step + col * of_d.ld + row];
          // What is not kept is not read: it may be anything.
          to = static_cast<float>(times * sum + (keep == 0 ? 0 : keep * to));
        }
      }
    }
    return cudaSuccess;
  };
  return Queue(stream, work) == cudaSuccess ? kSuccess : 13;
}

const char* StatusText(int status) {
  return status == kArchMismatch ? "CUBLAS_STATUS_ARCH_MISMATCH" : "CUBLAS_STATUS_NOT_SUPPORTED";
}
size_t Version() { return 130100; }

}  // namespace

void SetCublasLt(const CublasLtScript& script) {
  State& state = TheState();
  state = {.script = script, .counts = {.open = state.counts.open}};
}

CublasLtCounts CountCublasLt() { return TheState().counts; }

}  // namespace layercake::simt

namespace layercake {

absl::StatusOr<const CublasLtFunctions*> LoadCublasLt() {
  using namespace simt;  // NOLINT: all that is above
  static const CublasLtFunctions functions = {.create = &CreateHandle,
                                              .destroy = &Destroy<Handle>,
                                              .product_create = &CreateProduct,
                                              .product_set = &SetOfProduct,
                                              .product_destroy = &Destroy<Product>,
                                              .matrix_create = &CreateMatrix,
                                              .matrix_set = &SetOfMatrix,
                                              .matrix_destroy = &Destroy<Matrix>,
                                              .ask_create = &CreateAsk,
                                              .ask_set = &SetOfAsk,
                                              .ask_destroy = &Destroy<Ask>,
                                              .find_algorithms = &FindAlgorithms,
                                              .multiply = &Multiply,
                                              .status_text = &StatusText,
                                              .version = &Version};
  return &functions;
}

}  // namespace layercake
