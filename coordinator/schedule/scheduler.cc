#include "coordinator/schedule/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

int CeilDivide(int a, int b) { return (a + b - 1) / b; }

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options) { Reset(options); }

absl::Status Scheduler::Add(SequenceRequest request) {
  auto sequence = std::make_unique<Sequence>();
  sequence->id = request.id;
  sequence->num_prompt_tokens = static_cast<int>(request.prompt_ids.size());
  sequence->history = std::move(request.prompt_ids);
  sequence->max_tokens = request.max_tokens;
  sequence->needs_prompt_logits = request.needs_prompt_logits;
  LC_RETURN_IF_ERROR(CheckFits(*sequence));
  if (queue_full()) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("the queue is full: %d sequences are waiting and %d running; retry later",
                        num_waiting(), num_running()));
  }
  const auto [slot, inserted] = sequences_.try_emplace(request.id, std::move(sequence));
  if (!inserted) {
    return absl::AlreadyExistsError(absl::StrFormat("sequence %d is live already", request.id));
  }
  waiting_.push_back(slot->second.get());
  return absl::OkStatus();
}

std::optional<ScheduledStep> Scheduler::Next() {
  const int num_decoding = static_cast<int>(std::ranges::count_if(
      running_, [](Sequence* s) { return s->num_unscheduled_tokens() <= 1; }));
  // While something decodes, a step of prompts alone would only stand between two of its tokens.
  const int max_in_flight = num_decoding > 0
                                ? std::min(options_.num_stages, options_.max_steps_in_flight)
                                : options_.max_steps_in_flight;
  if (num_steps_in_flight() >= max_in_flight) return std::nullopt;

  ScheduledStep step{.id = next_step_id_};
  AddDecodes(num_decoding, step);
  int budget = std::min(options_.max_step_tokens - static_cast<int>(step.slices.size()),
                        PromptTokensPerStep(num_decoding));
  AddPrefills(step, budget);
  AddAdmissions(step, budget);
  if (step.slices.empty()) return std::nullopt;

  ++next_step_id_;
  StepInFlight& in_flight = in_flight_.emplace_back();
  in_flight.id = step.id;
  in_flight.slices.reserve(step.slices.size());
  for (const ScheduledSlice& slice : step.slices) {
    in_flight.slices.push_back({slice.sequence, sequences_.at(slice.sequence)->run, slice.position,
                                static_cast<int>(slice.token_ids.size()), slice.sample});
  }
  return step;
}

// One token of each sequence that has one, oldest first, in groups so equal that num_stages of them
// make a round. The order leaves nobody behind: at most num_stages groups' worth can run at all.
void Scheduler::AddDecodes(int num_decoding, ScheduledStep& step) {
  const size_t group =
      std::min(CeilDivide(num_decoding, options_.num_stages), options_.max_batch_sequences);
  // By index: growing may preempt sequences at the end, never one that is in the step already.
  for (size_t i = 0; i < running_.size() && step.slices.size() < group; ++i) {
    Sequence& sequence = *running_[i];
    if (sequence.num_unscheduled_tokens() == 1 && Grow(sequence)) Emit(sequence, 1, step);
  }
}

// A step that carries a long piece of prompt holds up all stages in turn. So what there is to do
// for prompts is spread: over two rounds of the pipeline where it would hold up others, else over
// the stages that have nothing to do; in pieces worth a step of their own, and no crumbs left over.
int Scheduler::PromptTokensPerStep(int num_decoding) const {
  if (options_.num_stages == 1) return options_.max_step_tokens;
  const int num_parts = num_decoding > 0 ? 2 * options_.num_stages
                                         : std::max(1, options_.num_stages - num_steps_in_flight());
  const int most = num_parts * options_.max_step_tokens;
  int num_tokens = 0;
  for (const Sequence* sequence : running_) {
    if (sequence->num_unscheduled_tokens() > 1) num_tokens += sequence->num_unscheduled_tokens();
  }
  const int room = std::min(max_running() - num_running(), num_waiting());
  for (int i = 0; i < room && num_tokens < most; ++i) num_tokens += waiting_[i]->num_tokens();
  const int thinnest = CeilDivide(options_.max_step_tokens, 8);
  if (2 * num_tokens <= 3 * thinnest) return 2 * thinnest;
  return std::max(CeilDivide(num_tokens, num_parts), thinnest);
}

// Prompts under way, in order of age: the oldest takes all it can use of the budget.
void Scheduler::AddPrefills(ScheduledStep& step, int& budget) {
  for (Sequence* sequence : running_) {
    if (budget == 0 || IsFull(step)) return;
    if (sequence->num_unscheduled_tokens() > 1) EmitWithin(budget, *sequence, step);
  }
}

void Scheduler::AddAdmissions(ScheduledStep& step, int& budget) {
  while (!waiting_.empty() && budget > 0 && !IsFull(step) && num_running() < max_running()) {
    Sequence& sequence = *waiting_.front();
    if (!Admit(sequence, step.id)) return;
    waiting_.pop_front();
    running_.push_back(&sequence);
    EmitWithin(budget, sequence, step);
  }
}

bool Scheduler::IsFull(const ScheduledStep& step) const {
  return static_cast<int>(step.slices.size()) == options_.max_batch_sequences;
}

// Takes blocks for the whole history, so that only decoding can run out of them. False to wait.
bool Scheduler::Admit(Sequence& sequence, uint64_t step_id) {
  std::vector<BlockId> cached;
  const bool must_compute_prompt =
      sequence.needs_prompt_logits && sequence.num_seen_prompt_tokens < sequence.num_prompt_tokens;
  if (options_.prefix_caching && !must_compute_prompt) {
    // All but the last token: something has to be computed to sample from.
    cached = cache_->Match(std::span(sequence.history).first(sequence.num_tokens() - 1));
    // Within one step nothing orders a slice's reads after another's writes; the next step will do.
    if (!cached.empty() && filled_by_step_[cached.back()] == step_id) return false;
  }
  const int num_blocks = NumBlocksFor(sequence.num_tokens());
  const int num_free_if_shared =
      pool_->num_free() - static_cast<int>(std::ranges::count_if(cached, [this](BlockId block) {
        return pool_->num_references(block) == 0;
      }));
  // One block is left for each running sequence to grow into, or admission would soon be undone.
  const int num_new = num_blocks - static_cast<int>(cached.size());
  if (num_new + num_running() > num_free_if_shared) return false;

  for (const BlockId block : cached) pool_->Reference(block);
  sequence.num_scheduled_tokens = static_cast<int>(cached.size()) * options_.block_size_tokens;
  sequence.num_registered_blocks = static_cast<int>(cached.size());
  sequence.registered_prefix = cached.empty() ? kRootPrefix : cache_->prefix(cached.back());
  sequence.blocks = std::move(cached);
  while (static_cast<int>(sequence.blocks.size()) < num_blocks) {
    sequence.blocks.push_back(TakeBlock());
  }
  sequence.run = ++num_runs_;
  if (!sequence.started) sequence.num_cached_tokens = sequence.num_scheduled_tokens;
  sequence.started = true;
  return true;
}

// False if `sequence` itself was the youngest, and so had to go.
bool Scheduler::Grow(Sequence& sequence) {
  while (static_cast<int>(sequence.blocks.size()) < NumBlocksFor(sequence.num_tokens())) {
    if (pool_->num_free() > 0) {
      sequence.blocks.push_back(TakeBlock());
      continue;
    }
    Preempt();
    if (!sequence.running()) return false;
  }
  return true;
}

void Scheduler::Preempt() {
  Sequence& youngest = *running_.back();
  Stop(youngest);
  waiting_.push_front(&youngest);
  ++num_preemptions_;
}

// Out of running_, and its blocks free. Last blocks first: of a cached prefix the end is given up
// before the beginning, without which it would be lost anyway.
void Scheduler::Stop(Sequence& sequence) {
  running_.erase(std::ranges::find(running_, &sequence));
  while (!sequence.blocks.empty()) {
    const BlockId block = sequence.blocks.back();
    sequence.blocks.pop_back();
    pool_->Release(block,
                   cache_->Contains(block) ? BlockPool::Reuse::kLate : BlockPool::Reuse::kSoon);
  }
  sequence.run = 0;
}

void Scheduler::EmitWithin(int& budget, Sequence& sequence, ScheduledStep& step) {
  const int num_tokens = std::min(budget, sequence.num_unscheduled_tokens());
  Emit(sequence, num_tokens, step);
  budget -= num_tokens;
}

void Scheduler::Emit(Sequence& sequence, int num_tokens, ScheduledStep& step) {
  const int position = sequence.num_scheduled_tokens;
  sequence.num_scheduled_tokens += num_tokens;
  step.slices.push_back(
      {.sequence = sequence.id,
       .position = position,
       .token_ids = std::span(sequence.history).subspan(position, num_tokens),
       .block_ids = std::span(sequence.blocks).first(NumBlocksFor(sequence.num_scheduled_tokens)),
       .sample = sequence.num_unscheduled_tokens() == 0});
  if (options_.prefix_caching) OfferFullBlocks(sequence, step.id);
}

void Scheduler::OfferFullBlocks(Sequence& sequence, uint64_t step_id) {
  const int size = options_.block_size_tokens;
  for (int& i = sequence.num_registered_blocks; (i + 1) * size <= sequence.num_scheduled_tokens;
       ++i) {
    sequence.registered_prefix =
        cache_->Insert(sequence.registered_prefix,
                       std::span(sequence.history).subspan(i * size, size), sequence.blocks[i]);
    filled_by_step_[sequence.blocks[i]] = step_id;
  }
}

BlockId Scheduler::TakeBlock() {
  const BlockId block = pool_->Allocate();
  cache_->Forget(block);
  return block;
}

absl::StatusOr<std::vector<SliceOutcome>> Scheduler::Complete(uint64_t step_id,
                                                              std::span<const int32_t> tokens) {
  if (in_flight_.empty() || in_flight_.front().id != step_id) {
    return absl::InternalError(
        in_flight_.empty()
            ? absl::StrFormat("step %d completed, but none is in flight", step_id)
            : absl::StrFormat("step %d completed before step %d", step_id, in_flight_.front().id));
  }
  const std::vector<SliceInFlight>& slices = in_flight_.front().slices;
  if (tokens.size() != slices.size()) {
    return absl::InternalError(absl::StrFormat("step %d of %d slices completed with %d results",
                                               step_id, slices.size(), tokens.size()));
  }
  std::vector<SliceOutcome> outcomes;
  outcomes.reserve(slices.size());
  for (size_t i = 0; i < slices.size(); ++i) {
    const SliceInFlight& slice = slices[i];
    const auto found = sequences_.find(slice.sequence);
    if (found == sequences_.end() || found->second->run != slice.run) continue;
    outcomes.push_back({slice.sequence, static_cast<int>(i), slice.position, slice.num_tokens});
    if (tokens[i] == kFailedToken) {
      outcomes.back().failed = true;
      for (const BlockId block : found->second->blocks) cache_->Forget(block);
      continue;
    }
    if (slice.sample) outcomes.back().token = tokens[i];
    Advance(*found->second, outcomes.back());
  }
  in_flight_.pop_front();
  return outcomes;
}

void Scheduler::Advance(Sequence& sequence, const SliceOutcome& outcome) {
  if (outcome.position <= sequence.num_seen_prompt_tokens) {
    sequence.num_seen_prompt_tokens =
        std::max(sequence.num_seen_prompt_tokens,
                 std::min(outcome.position + outcome.num_tokens, sequence.num_prompt_tokens));
  }
  if (!outcome.token) return;
  sequence.history.push_back(*outcome.token);
  if (sequence.num_generated_tokens() == sequence.max_tokens) Stop(sequence);
}

bool Scheduler::Finish(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return false;
  Sequence& sequence = *found->second;
  if (sequence.running()) {
    Stop(sequence);
  } else if (sequence.num_generated_tokens() < sequence.max_tokens) {
    waiting_.erase(std::ranges::find(waiting_, &sequence));
  }
  sequences_.erase(found);
  return true;
}

std::vector<SequenceId> Scheduler::Reset(const SchedulerOptions& options) {
  options_ = options;
  if (options_.max_steps_in_flight == 0) options_.max_steps_in_flight = options_.num_stages + 1;
  CHECK(options_.num_stages > 0 && options_.max_steps_in_flight > 0 &&
        options_.max_batch_sequences > 0 && options_.block_size_tokens > 0 &&
        options_.max_context_tokens > 0 && options_.max_waiting > 0);
  CHECK_GE(options_.max_step_tokens, options_.max_batch_sequences);
  pool_ = std::make_unique<BlockPool>(options_.num_blocks);
  cache_ = std::make_unique<PrefixCache>(options_.num_blocks, options_.block_size_tokens);
  filled_by_step_.assign(options_.num_blocks, 0);
  in_flight_.clear();
  next_step_id_ = 1;

  std::vector<SequenceId> dropped;
  waiting_.insert(waiting_.begin(), running_.begin(), running_.end());
  running_.clear();
  std::erase_if(waiting_, [&](Sequence* sequence) {
    sequence->blocks.clear();
    sequence->run = 0;
    if (CheckFits(*sequence).ok()) return false;
    dropped.push_back(sequence->id);
    return true;
  });
  for (const SequenceId id : dropped) sequences_.erase(id);
  return dropped;
}

absl::Status Scheduler::CheckFits(const Sequence& sequence) const {
  if (sequence.num_prompt_tokens == 0) return absl::InvalidArgumentError("the prompt is empty");
  if (sequence.max_tokens < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("max_tokens is %d, but must be at least 1", sequence.max_tokens));
  }
  // Compared so that no sum can overflow.
  if (sequence.max_tokens > options_.max_context_tokens - sequence.num_prompt_tokens) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "a prompt of %d tokens and max_tokens of %d exceed the context of %d tokens; shorten the "
        "prompt or lower max_tokens",
        sequence.num_prompt_tokens, sequence.max_tokens, options_.max_context_tokens));
  }
  // The last token sampled is never run, so it needs no place.
  const int num_blocks = NumBlocksFor(sequence.num_prompt_tokens + sequence.max_tokens - 1);
  if (num_blocks > options_.num_blocks) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "a prompt of %d tokens and max_tokens of %d need up to %d KV blocks of %d tokens, but "
        "there are %d; shorten the prompt or lower max_tokens",
        sequence.num_prompt_tokens, sequence.max_tokens, num_blocks, options_.block_size_tokens,
        options_.num_blocks));
  }
  return absl::OkStatus();
}

int Scheduler::num_committed_blocks() const {
  int num_blocks = options_.num_blocks - pool_->num_free();
  for (const Sequence* sequence : waiting_) num_blocks += NumBlocksFor(sequence->num_tokens());
  return num_blocks;
}

int Scheduler::NumNewBlocksFor(std::span<const int32_t> prompt_ids) const {
  const int num_cached =
      options_.prefix_caching ? static_cast<int>(cache_->Match(prompt_ids).size()) : 0;
  return NumBlocksFor(static_cast<int>(prompt_ids.size())) - num_cached;
}

int Scheduler::NumBlocksFor(int num_tokens) const {
  return CeilDivide(num_tokens, options_.block_size_tokens);
}

const Sequence* Scheduler::Find(SequenceId id) const {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

}  // namespace layercake
