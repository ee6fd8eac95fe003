#include "coordinator/simulate/simulation.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <queue>
#include <utility>

#include "common/base/logging.h"
#include "coordinator/schedule/dispatch.h"

namespace layercake {
namespace {

struct Event {
  double at;
  uint64_t order;  // among equals, as they were made
  enum class Kind { kArrival, kStepDone } kind;
  size_t index;  // of the request; of the replica
  bool operator>(const Event& other) const {
    return std::pair(at, order) > std::pair(other.at, other.order);
  }
};

// Crowds that move less from play to play are found.
constexpr double kSameCrowd = 0.02;
constexpr int kMostRounds = 6;

// A history that shares no block with any other sequence's.
int32_t TokenOf(uint64_t sequence, int position) {
  const uint64_t mixed = (sequence * 0x9e3779b97f4a7c15) ^ (static_cast<uint64_t>(position) << 32);
  return static_cast<int32_t>(mixed >> 33);
}

struct Interval {
  double begin;
  double end;
};

// How long both are going on. Each is in order of time.
double Overlap(const std::vector<Interval>& a, const std::vector<Interval>& b) {
  double seconds = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    seconds += std::max(0.0, std::min(a[i].end, b[j].end) - std::max(a[i].begin, b[j].begin));
    a[i].end < b[j].end ? ++i : ++j;
  }
  return seconds;
}

// A stage in time, one step after another.
class StageClock {
 public:
  explicit StageClock(const SimulatedStage& stage) : stage_(stage) {}

  // Takes up a step at `at`, or when it is free, which keeps it for `seconds` where nothing of its
  // quota is left over. Returns when it is done.
  double Run(double at, double seconds) {
    const double began = now_ = std::max(at, now_);
    const CpuQuota& quota = stage_.quota;
    if (quota.period_seconds == 0) {
      Compute(seconds);
    } else {
      for (double left = seconds * quota.share; left > 0;) {
        if (now_ >= period_end_) BeginPeriod();
        const double some = std::min({left, granted_, period_end_ - now_});
        Compute(some);
        granted_ -= some;
        left -= some;
        if (left > 0) now_ = period_end_;
      }
    }
    busy_seconds_ += now_ - began;
    ++steps_;
    return now_;
  }

  double busy_seconds() const { return busy_seconds_; }
  uint64_t steps() const { return steps_; }
  // In which it computes, of a stage that has a host.
  const std::vector<Interval>& computing() const { return computing_; }

 private:
  void Compute(double seconds) {
    if (!stage_.host.empty()) computing_.push_back({now_, now_ + seconds});
    now_ += seconds;
  }
  void BeginPeriod() {
    const double period = stage_.quota.period_seconds;
    period_end_ = (std::floor(now_ / period) + 1) * period;
    if (period_end_ <= now_) period_end_ += period;
    granted_ = stage_.quota.share * period;
  }

  const SimulatedStage& stage_;
  double now_ = 0;  // free from then on
  double period_end_ = 0;
  double granted_ = 0;  // until then, still
  double busy_seconds_ = 0;
  uint64_t steps_ = 0;
  std::vector<Interval> computing_;
};

// One replica's stages in time.
class Replica {
 public:
  //   crowds: of each stage.
  Replica(const SimulatedPipeline& model, std::span<const double> crowds)
      : model_(model),
        crowds_(crowds.begin(), crowds.end()),
        scheduler_(model.scheduler),
        stages_(model.stages.begin(), model.stages.end()),
        link_free_at_(model.hops.size(), 0) {
    CHECK_EQ(model.stages.size(), static_cast<size_t>(model.scheduler.num_stages));
    CHECK_EQ(model.hops.size(), model.stages.size() + 1);
  }

  Scheduler& scheduler() { return scheduler_; }
  const SimulatedPipeline& model() const { return model_; }
  DispatchTarget dispatch_target() const { return {&scheduler_, model_.step_seconds}; }

  // When the step will be back at the coordinator. Steps never overtake each other, so all is known
  // when it is sent.
  double Send(const ScheduledStep& step, double now) {
    std::vector<StepSlice> slices;
    int64_t tokens = 0;
    for (const ScheduledSlice& slice : step.slices) {
      slices.push_back({.position = slice.position,
                        .num_tokens = static_cast<int64_t>(slice.token_ids.size()),
                        .sampled = slice.sample});
      tokens += slices.back().num_tokens;
    }
    double at = now;
    for (size_t i = 0; i < stages_.size(); ++i) {
      const double seconds = model_.stages[i].step_seconds(slices, crowds_[i]);
      at = stages_[i].Run(Cross(i, tokens, at), seconds);
    }
    in_flight_.push_back({step.id, step.slices.size()});
    return Cross(stages_.size(), tokens, at);
  }

  // The outcomes of the oldest step in flight.
  std::vector<SliceOutcome> Complete() {
    const StepInFlight step = in_flight_.front();
    in_flight_.pop_front();
    std::vector<int32_t> tokens(step.num_slices);
    for (int32_t& token : tokens) token = TokenOf(step.id, num_sampled_++);
    const auto outcomes = scheduler_.Complete(step.id, tokens);
    CHECK(outcomes.ok()) << outcomes.status();
    return *outcomes;
  }

  // `seconds` have passed since the last call.
  void CountBlocks(double seconds) {
    const double used = scheduler_.num_blocks() - scheduler_.num_free_blocks();
    block_seconds_ += used * seconds;
    peak_blocks_ = std::max(peak_blocks_, used);
  }
  double block_seconds() const { return block_seconds_; }
  double peak_blocks() const { return peak_blocks_; }

  StageUse Use(size_t stage, int replica, double wall_seconds) const {
    const StageClock& from = stages_[stage];
    StageUse use{.worker = model_.stages[stage].worker, .replica = replica, .steps = from.steps()};
    if (wall_seconds > 0) use.busy_share = from.busy_seconds() / wall_seconds;
    if (from.steps() > 0) {
      use.mean_step_seconds = from.busy_seconds() / static_cast<double>(from.steps());
    }
    return use;
  }
  size_t num_stages() const { return stages_.size(); }
  const std::vector<Interval>& computing(size_t stage) const { return stages_[stage].computing(); }

 private:
  struct StepInFlight {
    uint64_t id;
    size_t num_slices;
  };

  double Cross(size_t hop, int64_t tokens, double at) {
    double& free_at = link_free_at_[hop];
    free_at =
        std::max(at, free_at) + model_.hops[hop].seconds_per_token * static_cast<double>(tokens);
    return free_at + model_.hops[hop].latency_seconds;
  }

  const SimulatedPipeline& model_;
  const std::vector<double> crowds_;
  Scheduler scheduler_;
  std::vector<StageClock> stages_;
  std::vector<double> link_free_at_;
  std::deque<StepInFlight> in_flight_;
  int num_sampled_ = 0;
  double block_seconds_ = 0;
  double peak_blocks_ = 0;
};

class Run {
 public:
  //   crowds: of the stages of all pipelines, one after another.
  Run(std::span<const SimulatedPipeline> pipelines, const LoadOptions& load,
      std::span<const double> crowds)
      : options_(load), requests_(DrawLoad(load)), traces_(requests_.size()) {
    for (const SimulatedPipeline& pipeline : pipelines) {
      replicas_.push_back(
          std::make_unique<Replica>(pipeline, crowds.first(pipeline.stages.size())));
      crowds = crowds.subspan(pipeline.stages.size());
    }
  }

  SimulationResult Play() {
    if (options_.arrivals_per_second > 0) {
      for (size_t i = 0; i < requests_.size(); ++i) SendRequest(i, requests_[i].arrives_seconds);
      next_request_ = requests_.size();
    } else {
      for (int i = 0; i < options_.concurrency; ++i) SendNextRequest(0);
    }
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      for (const auto& replica : replicas_) replica->CountBlocks(event.at - now_);
      now_ = event.at;
      if (event.kind == Event::Kind::kArrival) {
        Arrive(event.index);
      } else {
        StepDone(event.index);
      }
    }
    return Summarise();
  }

  // After Play: of each stage, the share of its time in which the others of its host computed too,
  // on average over them.
  std::vector<double> Crowds() const {
    std::vector<std::pair<const SimulatedStage*, const std::vector<Interval>*>> stages;
    for (const auto& replica : replicas_) {
      for (size_t i = 0; i < replica->num_stages(); ++i) {
        stages.emplace_back(&replica->model().stages[i], &replica->computing(i));
      }
    }
    std::vector<double> crowds;
    for (const auto& [stage, computing] : stages) {
      double together = 0;
      int others = 0;
      for (const auto& [other, other_computing] : stages) {
        if (other == stage || other->host.empty() || other->host != stage->host) continue;
        together += Overlap(*computing, *other_computing);
        ++others;
      }
      double alone = 0;
      for (const Interval& interval : *computing) alone += interval.end - interval.begin;
      crowds.push_back(others == 0 || alone == 0 ? 0 : together / others / alone);
    }
    return crowds;
  }

 private:
  struct Trace {
    double sent = 0;
    double ended = -1;  // not yet, or refused
    std::vector<double> tokens_at;
  };

  double client_latency() const { return replicas_.front()->model().client_latency_seconds; }
  void Schedule(double at, Event::Kind kind, size_t index) {
    events_.push({at, num_events_++, kind, index});
  }
  void SendRequest(size_t request, double at) {
    traces_[request].sent = at;
    Schedule(at + client_latency(), Event::Kind::kArrival, request);
  }
  void SendNextRequest(double at) {
    if (next_request_ < requests_.size()) SendRequest(next_request_++, at);
  }

  void Arrive(size_t index) {
    SequenceRequest sequence{.id = index, .max_tokens = requests_[index].output_tokens};
    for (int i = 0; i < requests_[index].prompt_tokens; ++i) {
      sequence.prompt_ids.push_back(TokenOf(index + 1, -1 - i));
    }
    std::vector<DispatchTarget> targets;
    for (const auto& replica : replicas_) targets.push_back(replica->dispatch_target());
    const size_t chosen = ChooseReplica(targets, sequence.prompt_ids);
    if (!replicas_[chosen]->scheduler().Add(std::move(sequence)).ok()) {
      ++result_.refused;
      SendNextRequest(now_ + client_latency());
    }
    Pump(chosen);
  }

  void StepDone(size_t index) {
    Replica& replica = *replicas_[index];
    for (const SliceOutcome& outcome : replica.Complete()) {
      if (!outcome.token) continue;
      Trace& trace = traces_[outcome.sequence];
      trace.tokens_at.push_back(now_ + client_latency());
      const Sequence* sequence = replica.scheduler().Find(outcome.sequence);
      if (sequence->num_generated_tokens() < sequence->max_tokens) continue;
      replica.scheduler().Finish(outcome.sequence);
      trace.ended = trace.tokens_at.back();
      SendNextRequest(trace.ended);
    }
    Pump(index);
  }

  void Pump(size_t index) {
    Replica& replica = *replicas_[index];
    while (const auto step = replica.scheduler().Next()) {
      Schedule(replica.Send(*step, now_), Event::Kind::kStepDone, index);
    }
  }

  SimulationResult Summarise() {
    std::vector<double> first, between, rates;
    double end = 0;
    for (size_t i = 0; i < traces_.size(); ++i) {
      const Trace& trace = traces_[i];
      if (trace.ended < 0) continue;
      ++result_.requests;
      end = std::max(end, trace.ended);
      result_.prompt_tokens += requests_[i].prompt_tokens;
      result_.output_tokens += requests_[i].output_tokens;
      first.push_back(1e3 * (trace.tokens_at.front() - trace.sent));
      for (size_t t = 1; t < trace.tokens_at.size(); ++t) {
        between.push_back(1e3 * (trace.tokens_at[t] - trace.tokens_at[t - 1]));
      }
      const double seconds = trace.tokens_at.back() - trace.tokens_at.front();
      if (seconds > 0) rates.push_back((requests_[i].output_tokens - 1) / seconds);
    }
    result_.wall_seconds = end;
    if (end > 0) {
      result_.prompt_tokens_per_second = static_cast<double>(result_.prompt_tokens) / end;
      result_.output_tokens_per_second = static_cast<double>(result_.output_tokens) / end;
    }
    result_.first_token_ms = PercentilesOf(std::move(first));
    result_.between_tokens_ms = PercentilesOf(std::move(between));
    result_.request_output_tokens_per_second = PercentilesOf(std::move(rates));
    SummariseReplicas();
    return std::move(result_);
  }

  void SummariseReplicas() {
    double blocks = 0, used = 0;
    for (size_t i = 0; i < replicas_.size(); ++i) {
      Replica& replica = *replicas_[i];
      for (size_t stage = 0; stage < replica.num_stages(); ++stage) {
        result_.stages.push_back(replica.Use(stage, static_cast<int>(i), result_.wall_seconds));
      }
      const double all = replica.scheduler().num_blocks();
      blocks += all;
      used += replica.block_seconds();
      result_.peak_kv_share = std::max(result_.peak_kv_share, replica.peak_blocks() / all);
      result_.preemptions += replica.scheduler().num_preemptions();
    }
    if (result_.wall_seconds > 0) result_.mean_kv_share = used / (blocks * result_.wall_seconds);
  }

  const LoadOptions options_;
  const std::vector<LoadRequest> requests_;
  std::vector<Trace> traces_;  // by request
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  uint64_t num_events_ = 0;
  size_t next_request_ = 0;
  double now_ = 0;
  SimulationResult result_;
};

}  // namespace

SimulationResult Simulate(std::span<const SimulatedPipeline> pipelines, const LoadOptions& load) {
  CHECK(!pipelines.empty());
  size_t num_stages = 0;
  for (const SimulatedPipeline& pipeline : pipelines) num_stages += pipeline.stages.size();
  std::vector<double> crowds(num_stages, 0);
  for (int round = 0;; ++round) {
    Run run(pipelines, load, crowds);
    SimulationResult result = run.Play();
    const std::vector<double> next = run.Crowds();
    double moved = 0;
    for (size_t i = 0; i < num_stages; ++i) {
      moved = std::max(moved, std::abs(next[i] - crowds[i]));
      // Crowded stages are busy longer, which crowds them more: halfway does not overshoot.
      crowds[i] = round == 0 ? next[i] : (crowds[i] + next[i]) / 2;
    }
    if (moved < kSameCrowd || round == kMostRounds) return result;
  }
}

}  // namespace layercake
