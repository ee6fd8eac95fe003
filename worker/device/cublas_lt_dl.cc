#include <dlfcn.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "worker/device/cublas_lt_functions.h"
#include "worker/device/find_function.h"

namespace layercake {
namespace {

constexpr const char* kLibraries[] = {"libcublasLt.so.13", "libcublasLt.so.12"};

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
  if (!FindFunction(library, "cublasLtCreate", &f.create) ||
      !FindFunction(library, "cublasLtDestroy", &f.destroy) ||
      !FindFunction(library, "cublasLtMatmulDescCreate", &f.product_create) ||
      !FindFunction(library, "cublasLtMatmulDescSetAttribute", &f.product_set) ||
      !FindFunction(library, "cublasLtMatmulDescDestroy", &f.product_destroy) ||
      !FindFunction(library, "cublasLtMatrixLayoutCreate", &f.matrix_create) ||
      !FindFunction(library, "cublasLtMatrixLayoutSetAttribute", &f.matrix_set) ||
      !FindFunction(library, "cublasLtMatrixLayoutDestroy", &f.matrix_destroy) ||
      !FindFunction(library, "cublasLtMatmulPreferenceCreate", &f.ask_create) ||
      !FindFunction(library, "cublasLtMatmulPreferenceSetAttribute", &f.ask_set) ||
      !FindFunction(library, "cublasLtMatmulPreferenceDestroy", &f.ask_destroy) ||
      !FindFunction(library, "cublasLtMatmulAlgoGetHeuristic", &f.find_algorithms) ||
      !FindFunction(library, "cublasLtMatmul", &f.multiply) ||
      !FindFunction(library, "cublasLtGetStatusString", &f.status_text) ||
      !FindFunction(library, "cublasLtGetVersion", &f.version)) {
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
