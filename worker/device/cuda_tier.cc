#include "worker/device/cuda_tier.h"

namespace layercake {
namespace {

constexpr CudaTier kTiers[] = {
    {52, "5.2", "f16 and bf16 storage, f32 arithmetic"},
    {61, "6.1", "f16 and bf16 storage, f32 arithmetic"},
    {70, "7.x", "f16 and bf16 storage, f32 arithmetic; tensor cores are not used yet"},
    {80, "8.x", "f16 and bf16 storage, f32 arithmetic; tensor cores are not used yet"},
    {90, "9.0", "f16 and bf16 storage, f32 arithmetic; tensor cores are not used yet"},
};

}  // namespace

const CudaTier& TierOf(int compute_capability) {
  const CudaTier* tier = &kTiers[0];
  for (const CudaTier& row : kTiers) {
    if (compute_capability >= row.min_capability) tier = &row;
  }
  return *tier;
}

}  // namespace layercake
