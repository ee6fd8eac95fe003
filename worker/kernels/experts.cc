#include "worker/kernels/experts.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "common/base/logging.h"
#include "common/model/packing.h"
#include "worker/kernels/cuda_dispatch.h"
#include "worker/kernels/elementwise.h"

namespace layercake {
namespace {

static_assert(sizeof(ExpertRows) == 12, "RoutesBytes counts on it");

constexpr int64_t kTokensPerPiece = 4;

// Of one token. `order` has room for all experts' numbers.
void Choose(std::span<float> scores, bool renormalized, std::span<int32_t> order,
            std::span<int32_t> experts, std::span<float> weights) {
  const auto key = [&](int32_t expert) {
    const float score = scores[expert];
    return std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
  };
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(
      order.begin(), order.begin() + std::ssize(experts), order.end(),
      [&](int32_t a, int32_t b) { return key(a) != key(b) ? key(a) > key(b) : a < b; });
  std::copy_n(order.begin(), experts.size(), experts.begin());
  ExpInPlace(scores.data(), std::ssize(scores), key(order[0]), 1);
  float sum = 0;
  for (const float exponential : scores) sum += exponential;
  const bool unsure = std::isnan(sum);
  if (renormalized && !unsure) {
    sum = 0;
    for (const int32_t expert : experts) sum += scores[expert];
  }
  for (size_t i = 0; i < experts.size(); ++i) {
    weights[i] = unsure ? sum : scores[experts[i]] / sum;
  }
}

// Gives every chosen expert's tokens neighbouring rows.
void Group(const ExpertRoutes& routes) {
  std::vector<int32_t> next(routes.num_experts, 0);
  for (int64_t i = 0; i < routes.rows(); ++i) ++next[routes.experts[i]];
  int64_t group = 0;
  int32_t begin = 0;
  for (int32_t expert = 0; expert < routes.num_experts; ++expert) {
    const int32_t end = begin + next[expert];
    if (begin < end) routes.groups[group++] = {expert, begin, end};
    next[expert] = begin;
    begin = end;
  }
  std::fill(routes.groups + group, routes.groups + routes.num_groups(), ExpertRows());
  for (int64_t i = 0; i < routes.rows(); ++i) {
    routes.places[i] = next[routes.experts[i]]++;
    routes.tokens[routes.places[i]] = static_cast<int32_t>(i / routes.experts_per_token);
  }
}

void CheckRows(const TensorView& tokens, const TensorView& rows, const ExpertRoutes& routes) {
  CHECK_EQ(tokens.rows, routes.num_tokens);
  CHECK_EQ(rows.rows, routes.rows());
  CHECK_EQ(tokens.cols, rows.cols);
}

}  // namespace

ExpertRoutes RoutesIn(void* memory, const MixtureOfExperts& experts, int64_t num_tokens) {
  ExpertRoutes routes = {.num_tokens = num_tokens,
                         .num_experts = experts.num_experts,
                         .experts_per_token = experts.experts_per_token};
  char* at = static_cast<char*>(memory);
  const auto take = [&](auto*& array, int64_t count) {
    array = reinterpret_cast<std::remove_reference_t<decltype(array)>>(at);
    at += AllocatedBytes(count * static_cast<int64_t>(sizeof(*array)));
  };
  take(routes.groups, routes.num_groups());
  take(routes.experts, routes.rows());
  take(routes.weights, routes.rows());
  take(routes.places, routes.rows());
  take(routes.tokens, routes.rows());
  return routes;
}

void Route(const TensorView& scores, bool renormalized, const ExpertRoutes& routes,
           Device& device) {
  CHECK_EQ(scores.rows, routes.num_tokens);
  CHECK_EQ(scores.cols, routes.num_experts);
  CHECK_LE(routes.experts_per_token, routes.num_experts);
  if (device.kind() == DeviceKind::kCuda) {
    return LaunchOn(device, "routing tokens to experts", &CudaKernels::route, RowsOf(scores),
                    renormalized, routes);
  }
  const int64_t each = routes.experts_per_token;
  device.pool().ParallelFor(scores.rows, kTokensPerPiece, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> order(routes.num_experts);
    for (int64_t token = begin; token < end; ++token) {
      const auto chosen = [&](auto* all) { return std::span(all + token * each, each); };
      Choose(std::span(scores.Row(token), scores.cols), renormalized, order, chosen(routes.experts),
             chosen(routes.weights));
    }
  });
  Group(routes);
}

void GatherRows(const TensorView& x, const ExpertRoutes& routes, const TensorView& out,
                Device& device) {
  CheckRows(x, out, routes);
  if (device.kind() == DeviceKind::kCuda) {
    return LaunchOn(device, "gathering the tokens of experts", &CudaKernels::gather_rows, RowsOf(x),
                    routes, RowsOf(out));
  }
  device.pool().ParallelFor(out.rows, 4 * kTokensPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      std::memcpy(out.Row(row), x.Row(routes.tokens[row]), x.cols * sizeof(float));
    }
  });
}

void CombineRows(const TensorView& x, const ExpertRoutes& routes, const TensorView& out,
                 Device& device) {
  CheckRows(out, x, routes);
  if (device.kind() == DeviceKind::kCuda) {
    return LaunchOn(device, "combining what experts say", &CudaKernels::combine_rows, RowsOf(x),
                    routes, RowsOf(out));
  }
  const int64_t each = routes.experts_per_token;
  device.pool().ParallelFor(out.rows, kTokensPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      float* const to = out.Row(token);
      std::fill_n(to, out.cols, 0.0f);
      for (int64_t i = token * each; i < (token + 1) * each; ++i) {
        const float* const from = x.Row(routes.places[i]);
        const float weight = routes.weights[i];
        for (int64_t col = 0; col < out.cols; ++col) to[col] += weight * from[col];
      }
    }
  });
}

}  // namespace layercake
