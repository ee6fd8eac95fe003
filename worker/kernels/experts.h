#pragma once

// Mixtures of experts: which of them a token goes to, its way there, and what comes back. On a CPU
// all return when done; a CUDA device runs them in its stream, and what fails there is in its
// status(). The product between is MatMulExperts (matmul.h).

#include <cstdint>

#include "common/model/config.h"
#include "worker/device/device.h"
#include "worker/device/tensor_view.h"
#include "worker/kernels/kernel_args.h"

namespace layercake {

// For `num_tokens` tokens of a model with experts, in `memory` of the device, which must have
// RoutesBytes(num_tokens) of common/model/costs.h. What is there is undefined until Route.
ExpertRoutes RoutesIn(void* memory, const MixtureOfExperts& experts, int64_t num_tokens);

// Chooses every token's experts_per_token experts: those of the highest scores, of equal ones the
// lower number. One's weight is its softmax over all experts' scores, or if `renormalized` over
// those chosen.
//   scores: [num_tokens, num_experts] f32; overwritten. A NaN counts as the lowest score when
//   choosing, and makes the token's weights NaN.
// Source: Shazeer et al. 2017, arXiv:1701.06538; Jiang et al. 2024 (Mixtral), arXiv:2401.04088.
void Route(const TensorView& scores, bool renormalized, const ExpertRoutes& routes, Device& device);

// A row for every expert that a token goes to, in the order of `routes`.
//   x: [num_tokens, dim] f32.   out: [routes.rows(), dim] f32, apart from `x`.
void GatherRows(const TensorView& x, const ExpertRoutes& routes, const TensorView& out,
                Device& device);

// Every token's rows times their weights, added up from the first chosen on.
//   x: [routes.rows(), dim] f32.   out: [num_tokens, dim] f32, apart from `x`.
void CombineRows(const TensorView& x, const ExpertRoutes& routes, const TensorView& out,
                 Device& device);

}  // namespace layercake
