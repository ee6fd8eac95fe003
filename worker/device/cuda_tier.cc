#include "worker/device/cuda_tier.h"

#include <algorithm>

namespace layercake {
namespace {

constexpr absl::string_view kPlain = "f16, bf16 and integer storage, f32 arithmetic";
constexpr absl::string_view kBytes =
    "f16, bf16 and integer storage, f32 arithmetic, products of integers in pieces of bytes (dp4a)";
constexpr absl::string_view kUnusedCores =
    "f16, bf16 and integer storage, f32 arithmetic, products of integers in pieces of bytes "
    "(dp4a); its tensor cores, which lack bf16, are not used";
constexpr absl::string_view kTensorCores =
    "f16, bf16 and integer storage, products on tensor cores in pieces of bf16, attention in "
    "pieces "
    "of f16, f32 sums";

constexpr CudaTier kTiers[] = {
    {52, "5.2", kPlain, false, false},      {61, "6.1", kBytes, true, false},
    {70, "7.x", kUnusedCores, true, false}, {80, "8.x", kTensorCores, true, true},
    {90, "9.0", kTensorCores, true, true},
};

}  // namespace

const CudaTier& TierOf(int compute_capability, int code_capability) {
  const int capability =
      code_capability == 0 ? compute_capability : std::min(compute_capability, code_capability);
  const CudaTier* tier = &kTiers[0];
  for (const CudaTier& row : kTiers) {
    if (capability >= row.min_capability) tier = &row;
  }
  return *tier;
}

}  // namespace layercake
