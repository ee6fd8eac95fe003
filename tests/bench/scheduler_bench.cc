// What the scheduler itself costs per step: Next and Complete, with full batches and real block
// tables. The whole coordinator may take 150 us per token.

#include <benchmark/benchmark.h>

#include <deque>
#include <utility>
#include <vector>

#include "common/base/logging.h"
#include "coordinator/schedule/scheduler.h"

namespace layercake {
namespace {

SchedulerOptions Options(int num_stages, int num_sequences) {
  SchedulerOptions options;
  options.num_stages = num_stages;
  options.max_batch_sequences = (num_sequences + num_stages - 1) / num_stages;
  options.max_step_tokens = 512;
  options.num_blocks = 4000;
  options.max_context_tokens = 4096;
  return options;
}

// Keeps `num_sequences` running; each that ends is followed by another. Arguments: stages,
// sequences.
void BM_Step(benchmark::State& state) {
  const int num_stages = static_cast<int>(state.range(0));
  const int num_sequences = static_cast<int>(state.range(1));
  Scheduler scheduler(Options(num_stages, num_sequences));
  SequenceId next_id = 1;
  const auto add = [&] {
    SequenceRequest request{.id = next_id++, .max_tokens = 100};
    for (int i = 0; i < 100; ++i) request.prompt_ids.push_back(static_cast<int>(next_id) + i);
    CHECK(scheduler.Add(std::move(request)).ok());
  };
  for (int i = 0; i < num_sequences; ++i) add();

  std::deque<std::pair<uint64_t, size_t>> in_flight;
  std::vector<int32_t> tokens;
  int64_t num_tokens = 0;
  for (auto _ : state) {
    while (auto step = scheduler.Next()) in_flight.emplace_back(step->id, step->slices.size());
    const auto [id, num_slices] = in_flight.front();
    in_flight.pop_front();
    tokens.assign(num_slices, static_cast<int32_t>(num_tokens % 50000));
    const auto outcomes = scheduler.Complete(id, tokens);
    CHECK(outcomes.ok());
    for (const SliceOutcome& outcome : *outcomes) {
      if (!outcome.token) continue;
      ++num_tokens;
      const Sequence* sequence = scheduler.Find(outcome.sequence);
      if (sequence->num_generated_tokens() < sequence->max_tokens) continue;
      scheduler.Finish(outcome.sequence);
      add();
    }
  }
  state.counters["tokens_per_step"] =
      static_cast<double>(num_tokens) / static_cast<double>(state.iterations());
}
BENCHMARK(BM_Step)->Args({1, 16})->Args({1, 256})->Args({2, 256})->Args({4, 256})->Unit(
    benchmark::kMicrosecond);

}  // namespace
}  // namespace layercake
