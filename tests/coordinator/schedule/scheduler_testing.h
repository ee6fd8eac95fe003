#pragma once

// Short ways to drive a scheduler and to say what it decided.

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/schedule/scheduler.h"

namespace layercake {

// One stage, steps of 8 tokens and 4 sequences, blocks of 4 tokens.
inline SchedulerOptions SmallOptions() {
  SchedulerOptions options;
  options.max_step_tokens = 8;
  options.max_batch_sequences = 4;
  options.block_size_tokens = 4;
  options.num_blocks = 64;
  options.max_context_tokens = 64;
  return options;
}

using Tokens = std::vector<int32_t>;

// first, first + 1, ...
inline Tokens Prompt(int num_tokens, int first = 0) {
  Tokens tokens(num_tokens);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// "7@3+2!": of sequence 7, tokens 3 and 4, and sample.
inline std::vector<std::string> Describe(const ScheduledStep& step) {
  std::vector<std::string> slices;
  for (const ScheduledSlice& slice : step.slices) {
    slices.push_back(absl::StrCat(slice.sequence, "@", slice.position, "+", slice.token_ids.size(),
                                  slice.sample ? "!" : ""));
  }
  return slices;
}
inline std::vector<std::string> Describe(const std::optional<ScheduledStep>& step) {
  return step ? Describe(*step) : std::vector<std::string>{"nothing"};
}

// Runs the next step, sampling 1000 for every slice; only where nothing else is in flight.
inline std::vector<std::string> CompleteNext(Scheduler& scheduler) {
  const auto step = scheduler.Next();
  if (!step) return {"nothing"};
  const std::vector<std::string> description = Describe(*step);
  EXPECT_TRUE(scheduler.Complete(step->id, Tokens(step->slices.size(), 1000)).ok());
  return description;
}

// Keeps a scheduler's pipeline full, as the generation loop does; every sample is 1000.
class FullPipeline {
 public:
  explicit FullPipeline(Scheduler& scheduler) : scheduler_(scheduler) {}

  // Sends what can be sent, then completes the oldest step. REQUIRES: there is work.
  void Turn() {
    while (const auto step = scheduler_.Next()) {
      steps_.emplace_back(step->id, step->slices.size());
    }
    ASSERT_FALSE(steps_.empty());
    const auto [id, num_slices] = steps_.front();
    steps_.pop_front();
    ASSERT_TRUE(scheduler_.Complete(id, Tokens(num_slices, 1000)).ok());
  }

 private:
  Scheduler& scheduler_;
  std::deque<std::pair<uint64_t, size_t>> steps_;
};

}  // namespace layercake
