#include "worker/device/cublas_lt.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "worker/device/cuda_device.h"

namespace layercake {
namespace {

// Prompts are of any length, and each has its own.
constexpr size_t kMostPlans = 1024;

int TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return kCudaF16;
    case DType::kBF16:
      return kCudaBF16;
    case DType::kF32:
      break;
  }
  return kCudaF32;
}

// The largest power of two up to 256 that the address and the steps from it are multiples of.
uint32_t AlignmentOf(const void* data, int64_t step_bytes) {
  const uint64_t all = reinterpret_cast<uintptr_t>(data) | static_cast<uint64_t>(step_bytes) | 256;
  return static_cast<uint32_t>(all & (~all + 1));
}

}  // namespace

absl::StatusOr<std::unique_ptr<CublasLt>> CublasLt::Create(const CublasLtFunctions& functions,
                                                           CudaDevice& device,
                                                           int64_t fewest_rows) {
  std::unique_ptr<CublasLt> lt(new CublasLt(functions, device, fewest_rows));
  device.stream();  // makes the card the calling thread's
  if (const int status = functions.create(&lt->handle_); status != 0) {
    lt->handle_ = nullptr;
    return absl::FailedPreconditionError(absl::StrCat("cuBLASLt ", lt->version(), " refuses ",
                                                      device.name(), ": ",
                                                      functions.status_text(status)));
  }
  LC_ASSIGN_OR_RETURN(lt->scratch_, device.Allocate(kScratchBytes, "cuBLASLt's inputs"));
  constexpr float kConstants[] = {1, 0};
  LC_ASSIGN_OR_RETURN(lt->constants_, device.Allocate(sizeof(kConstants), "cuBLASLt's constants"));
  LC_RETURN_IF_ERROR(device.CopyFromHost(F32View(lt->constants_.As<float>(), 1, 2), kConstants,
                                         sizeof(kConstants)));
  return lt;
}

CublasLt::~CublasLt() {
  if (handle_ != nullptr) functions_.destroy(handle_);
}

std::string CublasLt::version() const {
  const size_t version = functions_.version();
  return absl::StrCat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

bool CublasLt::Multiplies(DType dtype) const {
  switch (dtype) {
    case DType::kBF16:
      return device_.compute_capability() >= 80;
    case DType::kF16:
      return device_.compute_capability() >= 70;
    case DType::kF32:
      break;
  }
  return true;
}

bool CublasLt::Multiply(const BatchedProduct& product) {
  CUstream_st* const stream = device_.stream();
  const Plan& plan = PlanOf(product);
  int status = plan.status;
  if (status == 0) {
    status =
        functions_.multiply(handle_, plan.product.get(), product.alpha, product.a, plan.a.get(),
                            product.b, plan.b.get(), product.beta, product.d, plan.d.get(),
                            product.d, plan.d.get(), plan.algorithm.algorithm, nullptr, 0, stream);
  }
  if (status == 0) return true;
  if (!std::exchange(refused_, true)) {
    LOG(WARNING) << "cuBLASLt " << version() << " refuses " << product.count << " products of "
                 << product.m << " x " << product.k << " by " << product.n << " rows on "
                 << device_.name() << ": " << functions_.status_text(status)
                 << "; own kernels do such";
  }
  return false;
}

const CublasLt::Plan& CublasLt::PlanOf(const BatchedProduct& product) {
  constexpr int64_t kSumBytes = sizeof(float);
  const uint32_t of_a = AlignmentOf(product.a, product.a_step * DTypeBytes(product.dtype));
  const uint32_t of_b = AlignmentOf(product.b, 0);
  const uint32_t of_d = AlignmentOf(product.d, product.d_step * kSumBytes);
  const Shape shape = {static_cast<int64_t>(product.dtype),
                       product.m,
                       product.n,
                       product.k,
                       product.count,
                       product.a_ld,
                       product.a_step,
                       product.b_ld,
                       product.d_ld,
                       product.d_step,
                       int64_t{of_a} << 32 | of_b,
                       of_d};
  const auto known = plans_.find(shape);
  if (known != plans_.end()) return known->second;
  if (plans_.size() == kMostPlans) plans_.clear();
  Plan plan = {.product = Object(nullptr, functions_.product_destroy),
               .a = Object(nullptr, functions_.matrix_destroy),
               .b = Object(nullptr, functions_.matrix_destroy),
               .d = Object(nullptr, functions_.matrix_destroy),
               .algorithm = {}};
  plan.status = MakePlan(product, {of_a, of_b, of_d, of_d}, plan);
  return plans_.emplace(shape, std::move(plan)).first->second;
}

// Returns the first status that is not success.
int CublasLt::MakePlan(const BatchedProduct& product, const std::array<uint32_t, 4>& alignments,
                       Plan& plan) {
  const CublasLtFunctions& f = functions_;
  int status = 0;
  const auto did = [&status](int result) {
    if (status == 0) status = result;
    return status == 0;
  };
  const auto make_matrix = [&](Object& matrix, int type, int64_t rows, int64_t cols, int64_t ld,
                               int64_t step) {
    CublasLtObject made = nullptr;
    if (!did(f.matrix_create(&made, type, rows, cols, ld))) return;
    matrix.reset(made);
    const auto count = static_cast<int32_t>(product.count);
    did(f.matrix_set(made, kMatrixBatchCount, &count, sizeof(count)));
    did(f.matrix_set(made, kMatrixBatchStep, &step, sizeof(step)));
  };
  const int type = TypeOf(product.dtype);
  make_matrix(plan.a, type, product.m, product.k, product.a_ld, product.a_step);
  make_matrix(plan.b, type, product.k, product.n, product.b_ld, 0);
  make_matrix(plan.d, kCudaF32, product.m, product.n, product.d_ld, product.d_step);
  CublasLtObject made = nullptr;
  if (!did(f.product_create(&made, kCublasComputeF32, kCudaF32))) return status;
  plan.product.reset(made);
  did(f.product_set(made, kProductPointerMode, &kCublasPointersToDevice,
                    sizeof(kCublasPointersToDevice)));
  if (!did(f.ask_create(&made))) return status;
  const Object ask(made, f.ask_destroy);
  // Without room nothing is summed apart and joined: of a product alike in all, sums are too.
  constexpr uint64_t kNoWorkspace = 0;
  did(f.ask_set(made, kAskMostWorkspace, &kNoWorkspace, sizeof(kNoWorkspace)));
  for (size_t i = 0; i < alignments.size(); ++i) {
    did(f.ask_set(made, kAskAlignment[i], &alignments[i], sizeof(alignments[i])));
  }
  if (status != 0) return status;
  constexpr int kNotSupported = 15;
  int found = 0;
  did(f.find_algorithms(handle_, plan.product.get(), plan.a.get(), plan.b.get(), plan.d.get(),
                        plan.d.get(), made, 1, &plan.algorithm, &found));
  if (status == 0 && found == 0) status = kNotSupported;
  did(plan.algorithm.state);
  return status;
}

}  // namespace layercake
