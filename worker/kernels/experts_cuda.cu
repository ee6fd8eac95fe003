#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/row_blocks.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

constexpr int kGroupThreads = 512;
constexpr int kGroupWarps = kGroupThreads / kWarpLanes;

// An expert and its score; NaN counts as the lowest.
struct Candidate {
  float score;
  int expert;
};
__device__ __forceinline__ float ScoreOf(float score) { return score == score ? score : -INFINITY; }
// Whether `a` is chosen before `b`.
__device__ __forceinline__ bool Before(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.expert < b.expert);
}

// A warp a token. The next choice is the first, in the order of choosing, of those after the last.
__global__ void __launch_bounds__(kWarpLanes)
    ChooseKernel(FloatRows scores, bool renormalized, ExpertRoutes routes) {
  const int lane = static_cast<int>(threadIdx.x);
  const int num_experts = static_cast<int>(routes.num_experts);
  const float* const row = scores.data + blockIdx.x * scores.stride;
  const int64_t first = blockIdx.x * routes.experts_per_token;
  const Candidate none = {-INFINITY, num_experts};
  Candidate last = {INFINITY, -1};
  float highest = 0;
  float of_chosen = 0;
  for (int64_t i = 0; i < routes.experts_per_token; ++i) {
    Candidate best = none;
    for (int expert = lane; expert < num_experts; expert += kWarpLanes) {
      const Candidate candidate = {ScoreOf(row[expert]), expert};
      if (Before(last, candidate) && Before(candidate, best)) best = candidate;
    }
    for (int with = kWarpLanes / 2; with > 0; with /= 2) {
      const Candidate other = {__shfl_xor_sync(kAllLanes, best.score, with),
                               __shfl_xor_sync(kAllLanes, best.expert, with)};
      if (Before(other, best)) best = other;
    }
    last = best;
    if (i == 0) highest = best.score;
    const float exponential = Exp(best.score - highest);
    of_chosen += exponential;
    if (lane == 0) {
      routes.experts[first + i] = best.expert;
      routes.weights[first + i] = exponential;
    }
  }
  float of_all = 0;
  for (int expert = lane; expert < num_experts; expert += kWarpLanes) {
    of_all += Exp(row[expert] - highest);
  }
  of_all = WarpSum(of_all);
  // A NaN anywhere shows in the sum of all.
  const float sum = renormalized && of_all == of_all ? of_chosen : of_all;
  __syncwarp();
  for (int64_t i = lane; i < routes.experts_per_token; i += kWarpLanes) {
    routes.weights[first + i] /= sum;
  }
}

// One block. A warp finds each of its experts' rows, 32 of them at a time.
__global__ void __launch_bounds__(kGroupThreads) GroupKernel(ExpertRoutes routes) {
  int* const begins = &SharedAs<int>();  // [num_experts], at first how many rows each has
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const int num_experts = static_cast<int>(routes.num_experts);
  const int rows = static_cast<int>(routes.rows());
  const unsigned below = (1u << lane) - 1;

  for (int expert = warp; expert < num_experts; expert += kGroupWarps) {
    int count = 0;
    for (int row = lane; row - lane < rows; row += kWarpLanes) {
      count += __popc(__ballot_sync(kAllLanes, row < rows && routes.experts[row] == expert));
    }
    if (lane == 0) begins[expert] = count;
  }
  __syncthreads();
  if (warp == 0) {
    int begin = 0;
    int groups = 0;
    for (int first = 0; first < num_experts; first += kWarpLanes) {
      const int expert = first + lane;
      const int count = expert < num_experts ? begins[expert] : 0;
      int end = count;
      for (int by = 1; by < kWarpLanes; by *= 2) {
        const int before = __shfl_sync(kAllLanes, end, lane - (lane < by ? 0 : by));
        if (lane >= by) end += before;
      }
      const unsigned some = __ballot_sync(kAllLanes, count > 0);
      if (expert < num_experts) begins[expert] = begin + end - count;
      if (count > 0) {
        routes.groups[groups + __popc(some & below)] = {expert, begin + end - count, begin + end};
      }
      begin += __shfl_sync(kAllLanes, end, kWarpLanes - 1);
      groups += __popc(some);
    }
    for (int64_t i = groups + lane; i < routes.num_groups(); i += kWarpLanes) {
      routes.groups[i] = {0, 0, 0};
    }
  }
  __syncthreads();
  for (int expert = warp; expert < num_experts; expert += kGroupWarps) {
    int next = begins[expert];
    for (int row = lane; row - lane < rows; row += kWarpLanes) {
      const bool own = row < rows && routes.experts[row] == expert;
      const unsigned owns = __ballot_sync(kAllLanes, own);
      if (own) {
        const int place = next + __popc(owns & below);
        routes.places[row] = place;
        routes.tokens[place] = row / static_cast<int>(routes.experts_per_token);
      }
      next += __popc(owns);
    }
  }
}

__global__ void GatherRowsKernel(FloatRows x, const int32_t* tokens, FloatRows out) {
  const auto [row, i] = PlaceIn(out.cols);
  if (i >= out.cols) return;
  out.data[row * out.stride + i] = x.data[tokens[row] * x.stride + i];
}

__global__ void CombineRowsKernel(FloatRows x, ExpertRoutes routes, FloatRows out) {
  const auto [row, i] = PlaceIn(out.cols);
  if (i >= out.cols) return;
  const int64_t first = row * routes.experts_per_token;
  float sum = 0;
  for (int64_t j = first; j < first + routes.experts_per_token; ++j) {
    sum += routes.weights[j] * x.data[routes.places[j] * x.stride + i];
  }
  out.data[row * out.stride + i] = sum;
}

}  // namespace

int RouteCuda(const FloatRows& scores, bool renormalized, const ExpertRoutes& routes,
              CUstream_st* stream) {
  const int error = Launch("choose_experts", ChooseKernel, static_cast<unsigned>(routes.num_tokens),
                           kWarpLanes, 0, stream, scores, renormalized, routes);
  if (error != 0) return error;
  return Launch("group_rows", GroupKernel, 1, kGroupThreads,
                sizeof(int) * static_cast<size_t>(routes.num_experts), stream, routes);
}

int GatherRowsCuda(const FloatRows& x, const ExpertRoutes& routes, const FloatRows& out,
                   CUstream_st* stream) {
  return Launch("gather_rows", GatherRowsKernel, RowBlocks(out.rows, out.cols), kRowThreads, 0,
                stream, x, static_cast<const int32_t*>(routes.tokens), out);
}

int CombineRowsCuda(const FloatRows& x, const ExpertRoutes& routes, const FloatRows& out,
                    CUstream_st* stream) {
  return Launch("combine_rows", CombineRowsKernel, RowBlocks(out.rows, out.cols), kRowThreads, 0,
                stream, x, routes, out);
}

}  // namespace layercake
