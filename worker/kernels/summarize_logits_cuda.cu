#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

constexpr int kThreads = 512;
// Twice as many threads as tokens wanted: half of the threads' largest logits leave few beside the
// largest of all.
static_assert(kThreads == 2 * kMaxLikeliest);
constexpr int kMaxCandidates = 1024;

// A logit and its token, as one number: the larger comes first.
__device__ __forceinline__ unsigned long long RankOf(float logit, int id) {
  const unsigned bits = __float_as_uint(logit == 0 ? 0.0f : logit);
  const unsigned key = bits ^ (bits >> 31 != 0 ? 0xffffffffu : 0x80000000u);
  return static_cast<unsigned long long>(key) << 32 | (0xffffffffu - static_cast<unsigned>(id));
}
__device__ __forceinline__ int IdOf(unsigned long long rank) {
  return static_cast<int>(0xffffffffu - static_cast<unsigned>(rank));
}

// Sorts a power of two of numbers, the largest first (Batcher 1968, bitonic).
__device__ void SortDescending(unsigned long long* numbers, int count) {
  for (int size = 2; size <= count; size *= 2) {
    for (int by = size / 2; by > 0; by /= 2) {
      for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
        const int other = i ^ by;
        if (other < i) continue;
        const bool descending = (i & size) == 0;
        const unsigned long long a = numbers[i], b = numbers[other];
        if ((a < b) == descending && a != b) {
          numbers[i] = b;
          numbers[other] = a;
        }
      }
      __syncthreads();
    }
  }
}

struct SummaryMemory {
  unsigned long long ranks[kMaxCandidates];
  int num_candidates;
  int last_minus_bad;  // the last id less the first bad one; -1: none is bad
};

// In a block, all of whose threads call it; then all see what was changed.
__device__ void ChangeLogits(float* row, const LogitQuery& query, const LogitChange* changes) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < query.num_banned; i += kThreads) {
    float& logit = row[changes[query.first_change + i].id];
    if (logit < INFINITY) logit = -INFINITY;
  }
  __syncthreads();
  for (int i = thread; i < query.num_penalized; i += kThreads) {
    const LogitChange change = changes[query.first_change + query.num_banned + i];
    float logit = row[change.id];
    logit = logit > 0 ? logit / query.repetition_penalty : logit * query.repetition_penalty;
    if (change.times_generated > 0) {
      logit -= query.presence_penalty;
      logit -= query.frequency_penalty * static_cast<float>(change.times_generated);
    }
    row[change.id] = logit;
  }
  __syncthreads();
}

// A block a row.
__global__ void __launch_bounds__(kThreads)
    SummarizeKernel(FloatRows logits, const LogitQuery* queries, const LogitChange* changes,
                    LogitSummary* summaries) {
  SummaryMemory& shared = SharedAs<SummaryMemory>();
  const int thread = static_cast<int>(threadIdx.x);
  const int vocab_size = static_cast<int>(logits.cols);
  float* const row = logits.data + blockIdx.x * logits.stride;
  LogitSummary& summary = summaries[blockIdx.x];
  const int last = vocab_size - 1;
  ChangeLogits(row, queries[blockIdx.x], changes);

  if (thread == 0) {
    shared.num_candidates = 0;
    shared.last_minus_bad = -1;
  }
  __syncthreads();
  unsigned long long largest = 0;
  int bad = -1;
  for (int id = thread; id < vocab_size; id += kThreads) {
    const float logit = row[id];
    if (!(logit < INFINITY)) bad = bad < 0 ? last - id : bad;
    const unsigned long long rank = RankOf(logit, id);
    if (logit > -INFINITY && rank > largest) largest = rank;
  }
  if (bad >= 0) atomicMax(&shared.last_minus_bad, bad);
  shared.ranks[thread] = largest;
  __syncthreads();
  if (thread == 0) {
    const int id = last - shared.last_minus_bad;
    summary.bad_id = shared.last_minus_bad < 0 ? -1 : id;
    summary.bad_logit = shared.last_minus_bad < 0 ? 0 : row[id];
    const int token_id = queries[blockIdx.x].token_id;
    summary.token_logit = token_id < 0 ? 0 : row[token_id];
    summary.num_likeliest = 0;
  }
  if (shared.last_minus_bad >= 0) return;

  // As many logits as are wanted are at least this.
  SortDescending(shared.ranks, kThreads);
  const unsigned long long least = shared.ranks[kMaxLikeliest - 1];
  __syncthreads();
  for (int id = thread; id < vocab_size; id += kThreads) {
    const float logit = row[id];
    const unsigned long long rank = RankOf(logit, id);
    if (!(logit > -INFINITY) || rank < least) continue;
    const int place = atomicAdd(&shared.num_candidates, 1);
    if (place < kMaxCandidates) shared.ranks[place] = rank;
  }
  __syncthreads();
  const int found = shared.num_candidates;
  if (found > kMaxCandidates) {
    if (thread == 0) summary.num_likeliest = -1;
    return;
  }
  for (int i = found + thread; i < kMaxCandidates; i += kThreads) shared.ranks[i] = 0;
  __syncthreads();
  SortDescending(shared.ranks, kMaxCandidates);
  const int count = found < kMaxLikeliest ? found : kMaxLikeliest;
  if (thread == 0) summary.num_likeliest = count;
  for (int i = thread; i < count; i += kThreads) {
    const int id = IdOf(shared.ranks[i]);
    summary.likeliest[i] = {row[id], id};
  }
}

constexpr int kSumThreads = 256;
constexpr int kSumLanes = 8;  // of a strip
constexpr int kStripsOfBlock = kSumThreads / kSumLanes;

// Of a block's strips, a row and a scale, after the row's SummarizeKernel. A thread a lane.
__global__ void __launch_bounds__(kSumThreads)
    SumStripsKernel(FloatRows logits, const LogitQuery* queries, const LogitSummary* summaries,
                    int num_strips, double* sums) {
  double* const lane_sums = &SharedAs<double>();  // [kSumThreads]
  const LogitQuery query = queries[blockIdx.x];
  const LogitSummary& summary = summaries[blockIdx.x];
  const float scale = blockIdx.z == 0 ? query.scale : static_cast<float>(query.plain);
  if (scale == 0 || summary.num_likeliest <= 0) return;
  const float* const row = logits.data + blockIdx.x * logits.stride;
  const float max = summary.likeliest[0].logit;
  const int thread = static_cast<int>(threadIdx.x);
  const int strip = static_cast<int>(blockIdx.y) * kStripsOfBlock + thread / kSumLanes;
  const int64_t begin = static_cast<int64_t>(strip) * kLogitStrip;
  double sum = 0;
  for (int i = thread % kSumLanes; i < kLogitStrip; i += kSumLanes) {
    if (begin + i >= logits.cols) break;
    const float logit = row[begin + i];
    if (logit != -INFINITY) sum += static_cast<double>(Exp((logit - max) * scale));
  }
  lane_sums[thread] = sum;
  __syncthreads();
  if (thread % kSumLanes != 0 || strip >= num_strips) return;
  sum = 0;
  for (int lane = 0; lane < kSumLanes; ++lane) sum += lane_sums[thread + lane];
  sums[(int64_t{2} * blockIdx.x + blockIdx.z) * num_strips + strip] = sum;
}

}  // namespace

int SummarizeLogitsCuda(const FloatRows& logits, const LogitQuery* queries,
                        const LogitChange* changes, LogitSummary* summaries, double* sums,
                        CUstream_st* stream) {
  const auto rows = static_cast<unsigned>(logits.rows);
  const cudaError_t error =
      Launch("summarize_logits", SummarizeKernel, dim3(rows), dim3(kThreads), sizeof(SummaryMemory),
             stream, logits, queries, changes, summaries);
  if (error != cudaSuccess) return error;
  const auto num_strips = static_cast<int>(NumLogitStrips(logits.cols));
  return Launch("sum_strips", SumStripsKernel,
                dim3(rows, CeilDivide(num_strips, kStripsOfBlock), 2), dim3(kSumThreads),
                kSumThreads * sizeof(double), stream, logits, queries, summaries, num_strips, sums);
}

}  // namespace layercake
