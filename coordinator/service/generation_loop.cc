#include "coordinator/service/generation_loop.h"

#include <algorithm>
#include <limits>
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

}  // namespace

// A request's completions are sequences with consecutive ids from `first_sequence`.
struct GenerationLoop::Request {
  GenerationRequest request;
  std::shared_ptr<const ServedModel> model;
  ChunkSink* sink = nullptr;
  ServingReplica* replica = nullptr;
  SequenceId first_sequence = 0;
  std::vector<std::unique_ptr<Completion>> completions;
  int unfinished = 0;

  Completion& completion(SequenceId id) { return *completions[id - first_sequence]; }
};

GenerationLoop::GenerationLoop(const Clock* clock, int max_waiting)
    : clock_(clock), max_waiting_(max_waiting) {}

GenerationLoop::~GenerationLoop() = default;

bool GenerationLoop::serving() const { return !replicas_.empty() && !draining_; }

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
  LiveModel live{replicas_.begin()->second->model, std::numeric_limits<int>::max()};
  for (const auto& [epoch, replica] : replicas_) {
    live.max_context_tokens = std::min(live.max_context_tokens, replica->max_context_tokens);
  }
  return live;
}

absl::StatusOr<uint64_t> GenerationLoop::Submit(GenerationRequest request,
                                                std::shared_ptr<const ServedModel> model,
                                                ChunkSink* sink) {
  MutexLock lock(mutex_);
  if (!serving() || replicas_.begin()->second->model != model) return NotServing();
  const uint64_t id = next_id_;
  auto entry = std::make_unique<Request>();
  entry->request = std::move(request);
  entry->model = std::move(model);
  entry->sink = sink;
  entry->replica = &Choose(entry->request);
  entry->first_sequence = id;
  entry->unfinished = entry->request.n;
  next_id_ += static_cast<uint64_t>(entry->request.n);
  const absl::Time now = clock_->Now();
  for (int i = 0; i < entry->request.n; ++i) {
    entry->completions.push_back(
        std::make_unique<Completion>(entry->request, *entry->model, i, now));
  }
  LC_RETURN_IF_ERROR(Enqueue(*entry));
  for (int i = 0; i < entry->request.n; ++i) {
    sequences_[id + static_cast<uint64_t>(i)] = entry.get();
  }
  ServingReplica& replica = *entry->replica;
  requests_[id] = std::move(entry);
  Pump(replica);
  return id;
}

ServingReplica& GenerationLoop::Choose(const GenerationRequest& request) {
  std::vector<ServingReplica*> replicas;
  std::vector<DispatchTarget> targets;
  for (const auto& [epoch, replica] : replicas_) {
    replicas.push_back(replica.get());
    targets.push_back(replica->dispatch_target());
  }
  return *replicas[ChooseReplica(targets, request.prompt_ids)];
}

// All of its completions, or none.
absl::Status GenerationLoop::Enqueue(const Request& request) {
  Scheduler& scheduler = request.replica->scheduler;
  for (size_t i = 0; i < request.completions.size(); ++i) {
    SequenceRequest sequence;
    sequence.id = request.first_sequence + i;
    sequence.prompt_ids = request.request.prompt_ids;
    sequence.max_tokens = request.request.max_tokens;
    sequence.needs_prompt_logits = request.completions[i]->wants_prompt_logprobs();
    absl::Status status = scheduler.Add(std::move(sequence));
    if (status.ok()) continue;
    const bool queue_full = scheduler.queue_full();
    for (size_t k = 0; k < i; ++k) scheduler.Finish(request.first_sequence + k);
    return queue_full ? RetrySoon(std::move(status), "QUEUE_FULL") : status;
  }
  return absl::OkStatus();
}

void GenerationLoop::Cancel(uint64_t request) {
  MutexLock lock(mutex_);
  const auto it = requests_.find(request);
  if (it == requests_.end()) return;
  ServingReplica& replica = *it->second->replica;
  Remove(request);
  Pump(replica);
}

void GenerationLoop::Remove(uint64_t request) {
  const auto it = requests_.find(request);
  for (size_t i = 0; i < it->second->completions.size(); ++i) {
    const SequenceId sequence = it->second->first_sequence + i;
    sequences_.erase(sequence);
    it->second->replica->scheduler.Finish(sequence);
  }
  requests_.erase(it);
  if (requests_.empty()) idle_.NotifyAll();
}

void GenerationLoop::Pump(ServingReplica& replica) {
  while (const auto step = replica.scheduler.Next()) {
    replica.pipeline.Submit(MakeStep(replica, *step));
  }
}

v1::Step GenerationLoop::MakeStep(const ServingReplica& replica, const ScheduledStep& scheduled) {
  v1::Step step;
  step.set_epoch(replica.epoch);
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

absl::Status GenerationLoop::OnResult(uint64_t epoch, const v1::StepResult& result) {
  MutexLock lock(mutex_);
  const auto found = replicas_.find(epoch);
  if (found == replicas_.end()) return absl::OkStatus();
  ServingReplica& replica = *found->second;
  std::vector<int32_t> tokens;
  for (const v1::SliceResult& slice : result.slices()) {
    tokens.push_back(slice.error().empty() ? slice.token_id() : kFailedToken);
  }
  LC_ASSIGN_OR_RETURN(const auto outcomes, replica.scheduler.Complete(result.step_id(), tokens));
  Chunks chunks;
  for (const SliceOutcome& outcome : outcomes) {
    TakeOutcome(replica, outcome, result.slices(outcome.slice), chunks);
  }
  // The stages get their next step before the clients get their chunks.
  Pump(replica);
  for (auto& [id, chunk] : chunks) {
    const auto it = requests_.find(id);
    if (it == requests_.end()) continue;  // a sibling failed in the same step
    Request& request = *it->second;
    const bool finished = chunk.has_finish();
    request.sink->Write(std::move(chunk));
    if (!finished || --request.unfinished > 0) continue;
    request.sink->End(absl::OkStatus());
    Remove(id);
  }
  return absl::OkStatus();
}

void GenerationLoop::TakeOutcome(ServingReplica& replica, const SliceOutcome& outcome,
                                 const v1::SliceResult& slice, Chunks& chunks) {
  const auto it = sequences_.find(outcome.sequence);
  if (it == sequences_.end()) return;  // a sibling failed in the same step
  Request& request = *it->second;
  if (outcome.failed) {
    request.sink->End(WithReason(
        absl::InternalError(absl::StrCat("completion ", outcome.sequence - request.first_sequence,
                                         " failed at token ", outcome.position, ": worker ",
                                         replica.last_worker, ": ", slice.error())),
        "SEQUENCE_FAILED"));
    Remove(request.first_sequence);
    return;
  }
  Completion& completion = request.completion(outcome.sequence);
  completion.TakePrompt(outcome.position, slice);
  if (!outcome.token) return;
  ++generated_tokens_;
  ++replica.generated_tokens;
  const Sequence& sequence = *replica.scheduler.Find(outcome.sequence);
  if (sequence.num_generated_tokens() == 1) {
    prompt_tokens_ += static_cast<uint64_t>(sequence.num_prompt_tokens);
  }
  v1::GenerateChunk chunk = completion.TakeToken(slice, sequence, clock_->Now());
  if (chunk.has_finish()) replica.scheduler.Finish(outcome.sequence);
  chunks.emplace_back(request.first_sequence, std::move(chunk));
}

void GenerationLoop::OnReady(uint64_t epoch, std::shared_ptr<const ServedModel> model,
                             const v1::Plan& plan, StepSink& pipeline) {
  MutexLock lock(mutex_);
  replicas_[epoch] =
      std::make_unique<ServingReplica>(epoch, std::move(model), plan, pipeline, max_waiting_);
  NotifyServing();
}

void GenerationLoop::OnStopped(uint64_t epoch, const absl::Status& reason) {
  MutexLock lock(mutex_);
  const auto found = replicas_.find(epoch);
  if (found == replicas_.end()) return;
  const absl::Status status = RetrySoon(reason, "EPOCH_ENDED");
  std::vector<uint64_t> ended;
  for (const auto& [id, request] : requests_) {
    if (request->replica == found->second.get()) ended.push_back(id);
  }
  for (const uint64_t id : ended) {
    requests_.at(id)->sink->End(status);
    Remove(id);
  }
  replicas_.erase(found);
  NotifyServing();
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
  for (const auto& [epoch, replica] : replicas_) replica->FillStatus(status);
}

}  // namespace layercake
