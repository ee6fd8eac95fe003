#include "coordinator/service/generation_loop.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/rpc/status.h"

namespace layercake {
namespace {

absl::Status RetrySoon(absl::Status status, absl::string_view reason) {
  return WithRetryAfter(WithReason(std::move(status), reason), absl::Seconds(1));
}

SchedulerOptions MakeOptions(const v1::Plan& plan, int max_waiting) {
  SchedulerOptions options;
  options.num_stages = plan.stages_size();
  options.max_step_tokens = plan.max_step_tokens();
  options.max_batch_sequences = plan.max_batch_sequences();
  options.block_size_tokens = plan.block_size_tokens();
  options.num_blocks = plan.num_blocks();
  options.max_context_tokens = plan.max_context_tokens();
  options.max_waiting = max_waiting;
  return options;
}

}  // namespace

// A request's completions are sequences with consecutive ids from `first_sequence`.
struct GenerationLoop::Request {
  GenerationRequest request;
  std::shared_ptr<const ServedModel> model;
  ChunkSink* sink = nullptr;
  SequenceId first_sequence = 0;
  std::vector<std::unique_ptr<Completion>> completions;
  int unfinished = 0;

  Completion& completion(SequenceId id) { return *completions[id - first_sequence]; }
};

struct GenerationLoop::Placed {
  uint64_t epoch;
  std::shared_ptr<const ServedModel> model;
  int max_context_tokens;
  StepSink& pipeline;
  Scheduler scheduler;
};

GenerationLoop::GenerationLoop(const Clock* clock, int max_waiting)
    : clock_(clock), max_waiting_(max_waiting) {}

GenerationLoop::~GenerationLoop() = default;

bool GenerationLoop::serving() const { return placed_ != nullptr && !draining_; }

absl::Status GenerationLoop::NotServing() const {
  if (draining_) {
    return RetrySoon(absl::UnavailableError("the cluster is draining and takes no new requests"),
                     "DRAINING");
  }
  return RetrySoon(absl::UnavailableError("no model is loaded now; `layercake status` says why"),
                   "NO_MODEL");
}

void GenerationLoop::NotifyServing() {
  if (serving_listener_) serving_listener_(serving());
}

void GenerationLoop::OnServingChange(std::function<void(bool)> listener) {
  MutexLock lock(mutex_);
  serving_listener_ = std::move(listener);
  NotifyServing();
}

absl::StatusOr<LiveModel> GenerationLoop::Live() const {
  MutexLock lock(mutex_);
  if (!serving()) return NotServing();
  return LiveModel{placed_->model, placed_->max_context_tokens};
}

absl::StatusOr<uint64_t> GenerationLoop::Submit(GenerationRequest request,
                                                std::shared_ptr<const ServedModel> model,
                                                ChunkSink* sink) {
  MutexLock lock(mutex_);
  if (!serving() || placed_->model != model) return NotServing();
  const uint64_t id = next_id_;
  auto entry = std::make_unique<Request>();
  entry->request = std::move(request);
  entry->model = std::move(model);
  entry->sink = sink;
  entry->first_sequence = id;
  next_id_ += static_cast<uint64_t>(entry->request.n);
  const absl::Time now = clock_->Now();
  for (int i = 0; i < entry->request.n; ++i) {
    entry->completions.push_back(
        std::make_unique<Completion>(entry->request, *entry->model, i, now));
    SequenceRequest sequence;
    sequence.id = id + static_cast<uint64_t>(i);
    sequence.prompt_ids = entry->request.prompt_ids;
    sequence.max_tokens = entry->request.max_tokens;
    sequence.needs_prompt_logits = entry->completions.back()->wants_prompt_logprobs();
    absl::Status status = placed_->scheduler.Add(std::move(sequence));
    if (!status.ok()) {
      const bool queue_full = placed_->scheduler.queue_full();
      for (int k = 0; k < i; ++k) placed_->scheduler.Finish(id + static_cast<uint64_t>(k));
      if (!queue_full) return status;
      return RetrySoon(std::move(status), "QUEUE_FULL");
    }
  }
  entry->unfinished = entry->request.n;
  for (int i = 0; i < entry->request.n; ++i) {
    sequences_[id + static_cast<uint64_t>(i)] = entry.get();
  }
  requests_[id] = std::move(entry);
  Pump();
  return id;
}

void GenerationLoop::Cancel(uint64_t request) {
  MutexLock lock(mutex_);
  if (!requests_.contains(request)) return;
  Remove(request);
  Pump();
}

void GenerationLoop::Remove(uint64_t request) {
  const auto it = requests_.find(request);
  for (size_t i = 0; i < it->second->completions.size(); ++i) {
    const SequenceId sequence = it->second->first_sequence + i;
    sequences_.erase(sequence);
    if (placed_ != nullptr) placed_->scheduler.Finish(sequence);
  }
  requests_.erase(it);
  if (requests_.empty()) idle_.NotifyAll();
}

void GenerationLoop::Pump() {
  if (placed_ == nullptr) return;
  while (const auto step = placed_->scheduler.Next()) placed_->pipeline.Submit(MakeStep(*step));
}

v1::Step GenerationLoop::MakeStep(const ScheduledStep& scheduled) {
  v1::Step step;
  step.set_epoch(placed_->epoch);
  step.set_step_id(scheduled.id);
  const absl::Time now = clock_->Now();
  for (const ScheduledSlice& from : scheduled.slices) {
    Completion& completion = sequences_.at(from.sequence)->completion(from.sequence);
    completion.Start(now);
    v1::Slice* slice = step.add_slices();
    slice->set_position(from.position);
    slice->set_num_tokens(static_cast<int>(from.token_ids.size()));
    slice->mutable_block_ids()->Assign(from.block_ids.begin(), from.block_ids.end());
    step.mutable_token_ids()->Add(from.token_ids.begin(), from.token_ids.end());
    completion.AskPromptLogprobs(slice);
    if (!from.sample) continue;
    slice->set_output(v1::Slice::OUTPUT_SAMPLE);
    *slice->mutable_sampling() = completion.NextSampling();
  }
  return step;
}

absl::Status GenerationLoop::OnResult(const v1::StepResult& result) {
  MutexLock lock(mutex_);
  if (placed_ == nullptr) return absl::OkStatus();
  std::vector<int32_t> tokens;
  for (const v1::SliceResult& slice : result.slices()) tokens.push_back(slice.token_id());
  LC_ASSIGN_OR_RETURN(const auto outcomes,
                      placed_->scheduler.Complete(result.step_id(), tokens));
  const absl::Time now = clock_->Now();
  std::vector<std::pair<uint64_t, v1::GenerateChunk>> chunks;
  for (const SliceOutcome& outcome : outcomes) {
    Request& request = *sequences_.at(outcome.sequence);
    Completion& completion = request.completion(outcome.sequence);
    const v1::SliceResult& slice = result.slices(outcome.slice);
    completion.TakePrompt(outcome.position, slice);
    if (!outcome.token) continue;
    ++generated_tokens_;
    const Sequence& sequence = *placed_->scheduler.Find(outcome.sequence);
    if (sequence.num_generated_tokens() == 1) {
      prompt_tokens_ += static_cast<uint64_t>(sequence.num_prompt_tokens);
    }
    v1::GenerateChunk chunk = completion.TakeToken(slice, sequence, now);
    if (chunk.has_finish()) placed_->scheduler.Finish(outcome.sequence);
    chunks.emplace_back(request.first_sequence, std::move(chunk));
  }
  // The stages get their next step before the clients get their chunks.
  Pump();
  for (auto& [id, chunk] : chunks) {
    Request& request = *requests_.at(id);
    const bool finished = chunk.has_finish();
    request.sink->Write(std::move(chunk));
    if (!finished || --request.unfinished > 0) continue;
    request.sink->End(absl::OkStatus());
    Remove(id);
  }
  return absl::OkStatus();
}

void GenerationLoop::OnReady(uint64_t epoch, std::shared_ptr<const ServedModel> model,
                             const v1::Plan& plan, StepSink& pipeline) {
  MutexLock lock(mutex_);
  placed_.reset(new Placed{epoch, std::move(model), plan.max_context_tokens(), pipeline,
                           Scheduler(MakeOptions(plan, max_waiting_))});
  NotifyServing();
}

void GenerationLoop::OnStopped(const absl::Status& reason) {
  MutexLock lock(mutex_);
  placed_ = nullptr;
  NotifyServing();
  const absl::Status status = RetrySoon(reason, "EPOCH_ENDED");
  for (auto& [id, request] : requests_) request->sink->End(status);
  requests_.clear();
  sequences_.clear();
  idle_.NotifyAll();
}

bool GenerationLoop::IsIdle() const {
  MutexLock lock(mutex_);
  return requests_.empty();
}

void GenerationLoop::SetDraining(bool draining) {
  MutexLock lock(mutex_);
  draining_ = draining;
  NotifyServing();
}

int GenerationLoop::WaitIdle(absl::Duration timeout, const std::function<bool()>& cancelled) const {
  const absl::Time end = clock_->Now() + timeout;
  MutexLock lock(mutex_);
  while (!requests_.empty() && clock_->Now() < end && !cancelled()) {
    idle_.WaitFor(mutex_, absl::Milliseconds(50));
  }
  return static_cast<int>(sequences_.size());
}

void GenerationLoop::FillStatus(v1::ClusterStatus* status) const {
  MutexLock lock(mutex_);
  if (draining_) status->set_state(v1::SERVING_STATE_DRAINING);
  status->set_prompt_tokens(prompt_tokens_);
  status->set_generated_tokens(generated_tokens_);
  if (placed_ == nullptr) return;
  const Scheduler& scheduler = placed_->scheduler;
  status->set_running_sequences(scheduler.num_running());
  status->set_waiting_sequences(scheduler.num_waiting());
  status->set_free_blocks(scheduler.num_free_blocks());
  status->set_total_blocks(scheduler.num_blocks());
}

}  // namespace layercake
