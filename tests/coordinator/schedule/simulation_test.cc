// Thousands of random lives of a scheduler in front of a pipeline that keeps KV literally:
// arrivals, cancellations, epochs, shared beginnings and pools too small for all. Every step
// executed is checked to read exactly its own sequence's history, and every sequence to get exactly
// the model's answer, however it was cut, batched, preempted or replayed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "coordinator/schedule/scheduler.h"
#include "tests/coordinator/schedule/fake_pipeline.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

class Simulation {
 public:
  explicit Simulation(int seed) : random_(seed), scheduler_(RandomOptions()) {
    for (int i = 0; i < 3; ++i) beginnings_.push_back(RandomTokens(Uniform(0, 20)));
    StartPipeline();
  }

  void Run() {
    int to_add = Uniform(1, 30);
    // So many turns are never needed: a scheduler that starves or deadlocks runs into it.
    for (int turn = 0; turn < 200000; ++turn) {
      if (to_add > 0 && Chance(0.1)) to_add -= AddSome(to_add);
      if (Chance(0.5)) SendOne();
      if (Chance(0.7)) pipeline_->ExecuteOne(random_);
      if (Chance(0.5)) ReceiveOne();
      if (Chance(0.01)) CancelOne();
      if (Chance(0.002)) ResetEpoch();
      CheckInvariants();
      if (testing::Test::HasFailure()) return;
      if (to_add == 0 && live_.empty() && scheduler_.num_steps_in_flight() == 0) {
        EXPECT_EQ(scheduler_.num_free_blocks(), scheduler_.num_blocks());
        return;
      }
    }
    FAIL() << live_.size() << " sequences never end";
  }

  int64_t num_finished() const { return num_finished_; }
  int64_t num_cached_tokens() const { return num_cached_tokens_; }
  int64_t num_preemptions() const { return scheduler_.num_preemptions(); }

 private:
  int Uniform(int low, int high) { return std::uniform_int_distribution(low, high)(random_); }
  bool Chance(double p) { return std::bernoulli_distribution(p)(random_); }

  std::vector<int32_t> RandomTokens(int count) {
    std::vector<int32_t> tokens(count);
    for (int32_t& token : tokens) token = Uniform(0, FakeModel::kVocabulary - 1);
    return tokens;
  }

  SchedulerOptions RandomOptions() {
    SchedulerOptions options;
    options.num_stages = Uniform(1, 4);
    options.max_steps_in_flight = Chance(0.5) ? 0 : Uniform(1, 2 * options.num_stages);
    options.max_batch_sequences = Uniform(1, 6);
    options.max_step_tokens = options.max_batch_sequences + Uniform(0, 12);
    options.block_size_tokens = Uniform(1, 5);
    options.max_context_tokens = 48;
    const int blocks_of_one = (48 + options.block_size_tokens - 1) / options.block_size_tokens;
    options.num_blocks = Uniform(blocks_of_one * 3 / 4, blocks_of_one * 3);
    options.max_waiting = 20;
    options.prefix_caching = Chance(0.8);
    return options;
  }

  void StartPipeline() {
    pipeline_ = std::make_unique<FakePipeline>(scheduler_.options(), expected_);
    sent_.clear();
  }

  // One prompt, once or as several completions. Returns how many.
  int AddSome(int most) {
    std::vector<int32_t> prompt = beginnings_[Uniform(0, 2)];
    const std::vector<int32_t> rest = RandomTokens(Uniform(prompt.empty() ? 1 : 0, 12));
    prompt.insert(prompt.end(), rest.begin(), rest.end());
    const int count = Chance(0.2) ? Uniform(1, std::min(most, 4)) : 1;
    for (int i = 0; i < count; ++i) {
      SequenceRequest request{.id = next_id_++, .prompt_ids = prompt, .max_tokens = Uniform(1, 18)};
      request.needs_prompt_logits = Chance(0.1);
      expected_[request.id] = ExpectedSequence(prompt, request.max_tokens);
      const SequenceId id = request.id;
      if (scheduler_.Add(std::move(request)).ok()) {
        live_[id].seen.assign(prompt.size(), false);
      } else {
        EXPECT_TRUE(scheduler_.queue_full() || prompt.size() > 15);
      }
    }
    return count;
  }

  void SendOne() {
    const auto step = scheduler_.Next();
    if (!step) return;
    const SchedulerOptions& options = scheduler_.options();
    EXPECT_LE(scheduler_.num_steps_in_flight(), options.max_steps_in_flight);
    EXPECT_LE(step->slices.size(), options.max_batch_sequences);
    size_t num_tokens = 0;
    std::set<SequenceId> sequences;
    for (const ScheduledSlice& slice : step->slices) {
      num_tokens += slice.token_ids.size();
      EXPECT_TRUE(sequences.insert(slice.sequence).second) << "twice in a step";
      EXPECT_TRUE(live_.count(slice.sequence));
      const std::set<BlockId> blocks(slice.block_ids.begin(), slice.block_ids.end());
      EXPECT_EQ(blocks.size(), slice.block_ids.size()) << "a block twice in a table";
    }
    EXPECT_LE(num_tokens, options.max_step_tokens);
    EXPECT_GE(num_tokens, 1u);
    sent_.push_back(step->id);
    EXPECT_EQ(step->id, sent_.front() + sent_.size() - 1);
    pipeline_->Send(*step);
  }

  void ReceiveOne() {
    const auto result = pipeline_->Receive();
    if (!result) return;
    LC_ASSERT_OK_AND_ASSIGN(const auto outcomes,
                            scheduler_.Complete(result->step_id, result->tokens));
    sent_.pop_front();
    if (sent_.empty()) sent_.clear();
    for (const SliceOutcome& outcome : outcomes) Observe(outcome);
  }

  void Observe(const SliceOutcome& outcome) {
    ASSERT_TRUE(live_.count(outcome.sequence));
    Live& live = live_[outcome.sequence];
    for (int p = outcome.position; p < outcome.position + outcome.num_tokens; ++p) {
      if (p < static_cast<int>(live.seen.size())) live.seen[p] = true;
    }
    if (!outcome.token) return;
    const ExpectedSequence& expected = expected_[outcome.sequence];
    const Sequence& sequence = *scheduler_.Find(outcome.sequence);
    ASSERT_EQ(sequence.num_generated_tokens(), ++live.num_generated) << "a token twice, or a gap";
    ASSERT_LE(sequence.history.size(), expected.tokens.size());
    ASSERT_EQ(*outcome.token, expected.tokens[sequence.num_tokens() - 1]);
    if (sequence.needs_prompt_logits) {
      EXPECT_EQ(std::ranges::count(live.seen, false), 0) << "prompt logits not computed";
      EXPECT_EQ(sequence.num_cached_tokens, 0);
    }
    if (sequence.history.size() < expected.tokens.size() && !Chance(0.02)) return;
    EXPECT_LT(sequence.num_cached_tokens, sequence.num_prompt_tokens);
    num_cached_tokens_ += sequence.num_cached_tokens;
    ++num_finished_;
    EXPECT_TRUE(scheduler_.Finish(outcome.sequence));
    live_.erase(outcome.sequence);
  }

  void CancelOne() {
    if (live_.empty()) return;
    const auto it = std::next(live_.begin(), Uniform(0, static_cast<int>(live_.size()) - 1));
    EXPECT_TRUE(scheduler_.Finish(it->first));
    EXPECT_FALSE(scheduler_.Finish(it->first));
    live_.erase(it);
  }

  void ResetEpoch() {
    for (const SequenceId id : scheduler_.Reset(RandomOptions())) {
      EXPECT_EQ(live_.erase(id), 1u);
      EXPECT_EQ(scheduler_.Find(id), nullptr);
    }
    EXPECT_EQ(scheduler_.num_free_blocks(), scheduler_.num_blocks());
    StartPipeline();
  }

  void CheckInvariants() {
    ASSERT_EQ(scheduler_.num_running() + scheduler_.num_waiting(), static_cast<int>(live_.size()));
    std::set<BlockId> used;
    bool all_started = true;
    for (const auto& [id, live] : live_) {
      const Sequence& sequence = *scheduler_.Find(id);
      used.insert(sequence.blocks.begin(), sequence.blocks.end());
      ASSERT_TRUE(all_started || !sequence.started) << id << " was served before its turn";
      all_started = sequence.started;
      ASSERT_EQ(sequence.running(), !sequence.blocks.empty());
    }
    ASSERT_EQ(scheduler_.num_free_blocks() + static_cast<int>(used.size()),
              scheduler_.num_blocks());
  }

  struct Live {
    int num_generated = 0;
    std::vector<bool> seen;  // of the prompt: positions an outcome told of
  };

  std::mt19937 random_;
  Scheduler scheduler_;
  ExpectedSequences expected_;
  std::unique_ptr<FakePipeline> pipeline_;
  std::vector<std::vector<int32_t>> beginnings_;
  std::map<SequenceId, Live> live_;
  std::deque<uint64_t> sent_;
  SequenceId next_id_ = 1;
  int64_t num_finished_ = 0;
  int64_t num_cached_tokens_ = 0;
};

TEST(SchedulerSimulationTest, EveryStepReadsItsOwnHistoryAndEverySequenceEnds) {
  int64_t num_finished = 0;
  int64_t num_cached_tokens = 0;
  int64_t num_preemptions = 0;
  for (int seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Simulation simulation(seed);
    simulation.Run();
    if (HasFailure()) return;
    num_finished += simulation.num_finished();
    num_cached_tokens += simulation.num_cached_tokens();
    num_preemptions += simulation.num_preemptions();
  }
  // The lives were eventful, or the test says little.
  EXPECT_GT(num_finished, 15000);
  EXPECT_GT(num_cached_tokens, 15000);
  EXPECT_GT(num_preemptions, 1000);
}

}  // namespace
}  // namespace layercake
