#include <dlfcn.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "worker/device/cublas_lt_functions.h"

namespace layercake {
namespace {

constexpr const char* kLibraries[] = {"libcublasLt.so.13", "libcublasLt.so.12"};

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

absl::StatusOr<CublasLtFunctions> Load() {
  void* library = nullptr;
  std::string why;
  for (const char* const name : kLibraries) {
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    const char* const text = dlerror();
    absl::StrAppend(&why, why.empty() ? "" : "; ", text == nullptr ? name : text);
  }
  if (library == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no cuBLASLt: ", why));
  }
  CublasLtFunctions f;
  if (!Find(library, "cublasLtCreate", &f.create) ||
      !Find(library, "cublasLtDestroy", &f.destroy) ||
      !Find(library, "cublasLtMatmulDescCreate", &f.product_create) ||
      !Find(library, "cublasLtMatmulDescSetAttribute", &f.product_set) ||
      !Find(library, "cublasLtMatmulDescDestroy", &f.product_destroy) ||
      !Find(library, "cublasLtMatrixLayoutCreate", &f.matrix_create) ||
      !Find(library, "cublasLtMatrixLayoutSetAttribute", &f.matrix_set) ||
      !Find(library, "cublasLtMatrixLayoutDestroy", &f.matrix_destroy) ||
      !Find(library, "cublasLtMatmulPreferenceCreate", &f.ask_create) ||
      !Find(library, "cublasLtMatmulPreferenceSetAttribute", &f.ask_set) ||
      !Find(library, "cublasLtMatmulPreferenceDestroy", &f.ask_destroy) ||
      !Find(library, "cublasLtMatmulAlgoGetHeuristic", &f.find_algorithms) ||
      !Find(library, "cublasLtMatmul", &f.multiply) ||
      !Find(library, "cublasLtGetStatusString", &f.status_text) ||
      !Find(library, "cublasLtGetVersion", &f.version)) {
    return absl::NotFoundError("the cuBLASLt found lacks functions of CUDA 12's");
  }
  return f;
}

}  // namespace

absl::StatusOr<const CublasLtFunctions*> LoadCublasLt() {
  static const auto* const loaded = new absl::StatusOr<CublasLtFunctions>(Load());
  if (!loaded->ok()) return loaded->status();
  return &**loaded;
}

}  // namespace layercake
