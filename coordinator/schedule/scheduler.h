#pragma once

// Decides what the pipeline does next. A pure state machine: no I/O, no clock, no threads.
//
//   scheduler.Add(request);
//   while (auto step = scheduler.Next()) Send(*step);          // until the pipeline is full
//   auto outcomes = scheduler.Complete(id, tokens);            // when the last stage answers
//   for (outcome : *outcomes) if (IsLast(outcome)) scheduler.Finish(outcome.sequence);
//   ... Next() again: after Add, Complete, Finish and Reset there may be something to send.
//
// What it relies on: every stage executes steps in the order of their ids. A block freed while a
// step that reads it is in flight may therefore be given away at once (the step that overwrites it
// comes later everywhere), and a block may be shared from the step after the one that fills it,
// though that has not completed. If a step is lost, so are the epoch and all KV: see Reset.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/kv/block_pool.h"
#include "coordinator/kv/prefix_cache.h"
#include "coordinator/schedule/sequence.h"

namespace layercake {

struct SchedulerOptions {
  int num_stages = 1;            // of the pipeline, >= 1
  int max_steps_in_flight = 0;   // 0: num_stages + 1, see README.md
  int max_step_tokens = 256;     // >= max_batch_sequences
  int max_batch_sequences = 16;  // slices of one step; num_stages times as many may run
  int block_size_tokens = 16;
  int num_blocks = 0;
  int max_context_tokens = 0;  // prompt and completion together
  int max_waiting = 1024;      // sequences that Add lets wait
  bool prefix_caching = true;
};

// Consecutive tokens of one sequence to run through all layers.
struct ScheduledSlice {
  SequenceId sequence = 0;
  int position = 0;  // of the first token in the sequence
  // Views into the sequence: valid until the next non-const call of the scheduler.
  std::span<const int32_t> token_ids;  // at least one
  std::span<const BlockId>
      block_ids;        // cover positions 0 to position + token_ids.size() - 1, no more
  bool sample = false;  // the token after the last one is wanted
};

struct ScheduledStep {
  uint64_t id = 0;                     // consecutive from 1; starts over after Reset
  std::vector<ScheduledSlice> slices;  // at most one per sequence, at least one in all
};

// What became of one slice of a completed step.
struct SliceOutcome {
  SequenceId sequence = 0;
  int slice = 0;     // its index in the step
  int position = 0;  // of its first token
  int num_tokens = 0;
  std::optional<int32_t>
      token;            // now the last of the sequence's history; absent if none was sampled
  bool failed = false;  // kFailedToken came: the sequence cannot go on
};

// In place of a slice's token: nothing could be computed for it.
inline constexpr int32_t kFailedToken = -1;

// Not thread-safe.
class Scheduler {
 public:
  // REQUIRES: every option positive (max_steps_in_flight may be 0) and max_step_tokens >=
  // max_batch_sequences.
  explicit Scheduler(const SchedulerOptions& options);

  // Queues a sequence, behind all others. For several completions of one prompt add several: all
  // but the first find the prompt in the prefix cache.
  //   InvalidArgument    prompt empty, max_tokens < 1, or both together longer than the context.
  //   ResourceExhausted  the queue is full (queue_full() says so: retrying helps), or the
  //                      sequence could need more KV blocks than there are (retrying does not
  //                      help).
  //   AlreadyExists      a live sequence has this id.
  absl::Status Add(SequenceRequest request);

  // The next step, if there is work that can be done now and room in the pipeline. May preempt the
  // youngest sequences for want of blocks: they wait again, and their history is replayed later.
  std::optional<ScheduledStep> Next();

  // The oldest step in flight has come out of the pipeline.
  //   tokens: one per slice of the step, in order; what stands at slices without `sample` is
  //   ignored, but for kFailedToken: such a sequence is to be finished, and nobody will find what
  //   it computed in the prefix cache.
  // Appends the sampled tokens to the histories and returns the slices whose sequences are still
  // there, in slice order. After a preemption or Reset a position can be computed, and so be told
  // of, a second time; a token never is.
  //   Internal  not the oldest step in flight, or not as many tokens as slices. Nothing was
  //   changed.
  absl::StatusOr<std::vector<SliceOutcome>> Complete(uint64_t step_id,
                                                     std::span<const int32_t> tokens);

  // The sequence has ended or was cancelled: its blocks are free now, what is still in flight for
  // it will be ignored. At any time; false if no live sequence has this id. A sequence that has
  // generated its max_tokens is not scheduled any more but stays until this is called.
  bool Finish(SequenceId id);

  // A new epoch: all KV is gone and nothing is in flight. Live sequences keep order and history and
  // wait to be replayed. Returns those dropped because they could never fit under the new options.
  std::vector<SequenceId> Reset(const SchedulerOptions& options);

  // nullptr if no live sequence has this id. Valid until it is finished or Reset drops it.
  const Sequence* Find(SequenceId id) const;

  int max_running() const { return options_.num_stages * options_.max_batch_sequences; }
  int num_running() const { return static_cast<int>(running_.size()); }
  int num_waiting() const { return static_cast<int>(waiting_.size()); }
  bool queue_full() const { return num_waiting() >= options_.max_waiting; }
  int num_steps_in_flight() const { return static_cast<int>(in_flight_.size()); }
  int num_free_blocks() const { return pool_->num_free(); }  // free or reclaimable from the cache
  int num_blocks() const { return options_.num_blocks; }
  // Held by running sequences, and what those that wait will hold when they start.
  int num_committed_blocks() const;
  // Blocks that a sequence with this prompt would take, now that so much of it is cached.
  int NumNewBlocksFor(std::span<const int32_t> prompt_ids) const;
  int64_t num_preemptions() const { return num_preemptions_; }
  const SchedulerOptions& options() const { return options_; }

 private:
  struct SliceInFlight {
    SequenceId sequence;
    uint64_t run;
    int position;
    int num_tokens;
    bool sample;
  };
  struct StepInFlight {
    uint64_t id;
    std::vector<SliceInFlight> slices;
  };

  absl::Status CheckFits(const Sequence& sequence) const;
  int NumBlocksFor(int num_tokens) const;
  int PromptTokensPerStep(int num_decoding) const;
  bool IsFull(const ScheduledStep& step) const;
  void AddDecodes(int num_decoding, ScheduledStep& step);
  void AddPrefills(ScheduledStep& step, int& budget);
  void AddAdmissions(ScheduledStep& step, int& budget);
  bool Admit(Sequence& sequence, uint64_t step_id);
  bool Grow(Sequence& sequence);
  BlockId TakeBlock();
  void Preempt();
  void Stop(Sequence& sequence);
  void Emit(Sequence& sequence, int num_tokens, ScheduledStep& step);
  void EmitWithin(int& budget, Sequence& sequence, ScheduledStep& step);
  void OfferFullBlocks(Sequence& sequence, uint64_t step_id);
  void Advance(Sequence& sequence, const SliceOutcome& outcome);

  SchedulerOptions options_;
  std::unique_ptr<BlockPool> pool_;
  std::unique_ptr<PrefixCache> cache_;
  std::vector<uint64_t> filled_by_step_;  // by block: the step that fills it, while cached
  absl::flat_hash_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> running_;  // oldest first; all older than any in waiting_
  std::deque<Sequence*> waiting_;   // oldest first
  std::deque<StepInFlight> in_flight_;
  uint64_t next_step_id_ = 1;
  uint64_t num_runs_ = 0;
  int64_t num_preemptions_ = 0;
};

}  // namespace layercake
