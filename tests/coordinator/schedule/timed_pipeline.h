#pragma once

// A pipeline that only keeps time: what a schedule costs on stages of given speeds.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include "coordinator/schedule/scheduler.h"

namespace layercake {

// In any one unit of time.
struct StageCost {
  double per_step = 1;
  double per_token = 0;
};

class TimedPipeline {
 public:
  // A step takes `hop` to each next stage, and back to the scheduler. Each stage's time of each
  // step is varied by up to `jitter` of itself, up or down.
  TimedPipeline(std::vector<StageCost> stages, double hop, double jitter = 0)
      : stages_(std::move(stages)),
        hop_(hop),
        jitter_(jitter),
        free_at_(stages_.size(), 0),
        busy_(stages_.size(), 0) {}

  // Sends all that can be sent, then waits for the oldest step; sequences end at their max_tokens.
  // False if nothing is in flight and nothing can be sent.
  bool Turn(Scheduler& scheduler) {
    while (const auto step = scheduler.Next()) Send(*step);
    if (steps_.empty()) return false;
    const Step step = steps_.front();
    steps_.pop_front();
    now_ = std::max(now_, step.back_at);
    const auto outcomes = scheduler.Complete(step.id, std::vector<int32_t>(step.num_slices, 1));
    EXPECT_TRUE(outcomes.ok()) << outcomes.status();
    for (const SliceOutcome& outcome : *outcomes) {
      if (!outcome.token) continue;
      ++num_generated_;
      const Sequence* sequence = scheduler.Find(outcome.sequence);
      if (sequence->num_generated_tokens() == sequence->max_tokens) {
        scheduler.Finish(outcome.sequence);
      }
    }
    return true;
  }

  // From here on, times, shares and counts start at nought.
  void StartMeasuring() {
    start_ = now_;
    num_generated_ = 0;
    std::ranges::fill(busy_, 0);
  }
  double now() const { return now_ - start_; }
  double busy_share(int stage) const { return busy_[stage] / now(); }
  double tokens_per_time() const { return num_generated_ / now(); }

 private:
  struct Step {
    uint64_t id;
    size_t num_slices;
    double back_at;
  };

  void Send(const ScheduledStep& step) {
    size_t num_tokens = 0;
    for (const ScheduledSlice& slice : step.slices) num_tokens += slice.token_ids.size();
    double at = now_;
    for (size_t i = 0; i < stages_.size(); ++i) {
      const double variation = std::uniform_real_distribution(1 - jitter_, 1 + jitter_)(random_);
      const double cost = variation * (stages_[i].per_step +
                                       stages_[i].per_token * static_cast<double>(num_tokens));
      at = std::max(at + (i == 0 ? 0 : hop_), free_at_[i]) + cost;
      free_at_[i] = at;
      busy_[i] += cost;
    }
    steps_.push_back({step.id, step.slices.size(), at + hop_});
  }

  const std::vector<StageCost> stages_;
  const double hop_;
  const double jitter_;
  std::mt19937 random_;
  std::vector<double> free_at_;
  std::vector<double> busy_;
  std::deque<Step> steps_;
  double now_ = 0;
  double start_ = 0;
  int64_t num_generated_ = 0;
};

}  // namespace layercake
