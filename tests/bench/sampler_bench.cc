// What drawing one token costs at the vocabulary of a current model: processor time per draw.
//
//   sampler_bench

#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <vector>

#include "common/base/logging.h"
#include "worker/engine/sampler.h"

namespace layercake {
namespace {

constexpr size_t kVocabSize = 151936;

void Run(benchmark::State& state, const SamplingSettings& settings) {
  std::minstd_rand random(1);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(kVocabSize), scratch(kVocabSize);
  for (float& logit : logits) logit = normal(random);
  int64_t position = 0;
  for (auto _ : state) {
    std::copy(logits.begin(), logits.end(), scratch.begin());
    const auto token = Sample(scratch, settings, ++position);
    CHECK(token.ok()) << token.status();
    benchmark::DoNotOptimize(token->token_id);
  }
}
BENCHMARK_CAPTURE(Run, Greedy, SamplingSettings{.temperature = 0});
BENCHMARK_CAPTURE(Run, GreedyWithLogprobs,
                  SamplingSettings{.temperature = 0, .logprobs = true, .top_logprobs = 5});
BENCHMARK_CAPTURE(Run, Temperature, SamplingSettings{.temperature = 0.7f});
BENCHMARK_CAPTURE(Run, TopK, SamplingSettings{.temperature = 0.7f, .top_k = 20});
BENCHMARK_CAPTURE(Run, TopP, SamplingSettings{.temperature = 0.7f, .top_p = 0.8f});
BENCHMARK_CAPTURE(Run, TopKTopPMinP,
                  SamplingSettings{
                      .temperature = 0.7f, .top_k = 20, .top_p = 0.8f, .min_p = 0.05f});

}  // namespace
}  // namespace layercake
