#pragma once

// A pipeline of stages that keep KV as literally as a test can: each slot of a block holds which
// token at which position was written there, after which others.

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordinator/schedule/scheduler.h"

namespace layercake {

// The "model": the state after a token depends on all tokens so far, and the next token on the
// state.
class FakeModel {
 public:
  static uint64_t NextState(uint64_t state, int32_t token) {
    uint64_t x = (state ^ static_cast<uint64_t>(token)) + 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }
  // Few different tokens, so that sequences share beginnings by chance too.
  static int32_t Sample(uint64_t state) { return static_cast<int32_t>(state % kVocabulary); }

  static constexpr int kVocabulary = 5;
};

// What a sequence must come to: its prompt, and what the model generates after it.
struct ExpectedSequence {
  ExpectedSequence() = default;
  ExpectedSequence(std::vector<int32_t> prompt, int max_tokens) : tokens(std::move(prompt)) {
    uint64_t state = 0;
    for (const int32_t token : tokens) states.push_back(state = FakeModel::NextState(state, token));
    for (int i = 0; i < max_tokens; ++i) {
      tokens.push_back(FakeModel::Sample(state));
      states.push_back(state = FakeModel::NextState(state, tokens.back()));
    }
  }

  std::vector<int32_t> tokens;
  std::vector<uint64_t> states;  // after each token
};

using ExpectedSequences = std::unordered_map<SequenceId, ExpectedSequence>;

// Every stage executes steps in order, at its own pace. Slices of a step run in random order, so
// one that reads what another of the same step writes is caught.
class FakePipeline {
 public:
  struct Result {
    uint64_t step_id;
    std::vector<int32_t> tokens;
  };

  // `expected` must outlive the pipeline and hold every sequence that is sent.
  FakePipeline(const SchedulerOptions& options, const ExpectedSequences& expected)
      : block_size_tokens_(options.block_size_tokens), expected_(expected) {
    stages_.resize(options.num_stages);
    for (Stage& stage : stages_) {
      stage.slots.resize(static_cast<size_t>(options.num_blocks) * block_size_tokens_);
    }
  }

  void Send(const ScheduledStep& step) {
    Step copy{.id = step.id};
    for (const ScheduledSlice& slice : step.slices) {
      copy.slices.push_back({slice.sequence,
                             slice.position,
                             {slice.token_ids.begin(), slice.token_ids.end()},
                             {slice.block_ids.begin(), slice.block_ids.end()},
                             slice.sample});
    }
    stages_[0].input.push_back(std::move(copy));
  }

  // One random stage that has a step executes it. False if none has.
  bool ExecuteOne(std::mt19937& random) {
    std::vector<size_t> ready;
    for (size_t i = 0; i < stages_.size(); ++i) {
      if (!stages_[i].input.empty()) ready.push_back(i);
    }
    if (ready.empty()) return false;
    const size_t i = ready[random() % ready.size()];
    Step step = std::move(stages_[i].input.front());
    stages_[i].input.pop_front();
    Result result{step.id, std::vector<int32_t>(step.slices.size(), -1)};
    std::vector<size_t> order(step.slices.size());
    for (size_t j = 0; j < order.size(); ++j) order[j] = j;
    std::shuffle(order.begin(), order.end(), random);
    for (const size_t j : order) result.tokens[j] = Execute(step.slices[j], stages_[i].slots);
    if (i + 1 < stages_.size()) {
      stages_[i + 1].input.push_back(std::move(step));
    } else {
      results_.push_back(std::move(result));
    }
    return true;
  }

  std::optional<Result> Receive() {
    if (results_.empty()) return std::nullopt;
    Result result = std::move(results_.front());
    results_.pop_front();
    return result;
  }

 private:
  struct Slice {
    SequenceId sequence;
    int position;
    std::vector<int32_t> token_ids;
    std::vector<BlockId> block_ids;
    bool sample;
  };
  struct Step {
    uint64_t id;
    std::vector<Slice> slices;
  };
  struct Slot {
    int32_t token = -1;
    int position = -1;
    uint64_t state = 0;
  };
  struct Stage {
    std::deque<Step> input;
    std::vector<Slot> slots;
  };

  // Writes the slice's KV, then checks all that attention would read. Returns the sampled token.
  int32_t Execute(const Slice& slice, std::vector<Slot>& slots) const {
    const ExpectedSequence& expected = expected_.at(slice.sequence);
    const int end = slice.position + static_cast<int>(slice.token_ids.size());
    EXPECT_EQ(slice.block_ids.size(), (end + block_size_tokens_ - 1) / block_size_tokens_);
    const auto slot = [&](int position) -> Slot& {
      return slots.at(slice.block_ids.at(position / block_size_tokens_) * block_size_tokens_ +
                      position % block_size_tokens_);
    };
    for (int p = slice.position; p < end; ++p) {
      const int32_t token = slice.token_ids[p - slice.position];
      slot(p) = {token, p, FakeModel::NextState(p == 0 ? 0 : slot(p - 1).state, token)};
    }
    for (int p = 0; p < end; ++p) {
      EXPECT_EQ(slot(p).token, expected.tokens[p]) << "sequence " << slice.sequence << " at " << p;
      EXPECT_EQ(slot(p).position, p) << "sequence " << slice.sequence;
      EXPECT_EQ(slot(p).state, expected.states[p]) << "sequence " << slice.sequence << " at " << p;
    }
    return slice.sample ? FakeModel::Sample(slot(end - 1).state) : -1;
  }

  const int block_size_tokens_;
  const ExpectedSequences& expected_;
  std::vector<Stage> stages_;
  std::deque<Result> results_;
};

}  // namespace layercake
