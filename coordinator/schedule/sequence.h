#pragma once

// One prompt on its way to one completion, as the scheduler knows it.

#include <cstdint>
#include <vector>

#include "coordinator/kv/block_pool.h"
#include "coordinator/kv/prefix_cache.h"

namespace layercake {

// Chosen by the caller; unique among live sequences.
using SequenceId = uint64_t;

struct SequenceRequest {
  SequenceId id = 0;
  std::vector<int32_t> prompt_ids;  // at least one
  int max_tokens = 1;               // tokens to generate at most, >= 1
  // Every position of the prompt must be computed at least once for the caller to see
  // (log-probabilities with echo), so nothing of it is taken from the prefix cache.
  bool needs_prompt_logits = false;
};

// Fields are the scheduler's; everyone else reads.
struct Sequence {
  SequenceId id = 0;
  // Prompt, then what was generated: all that recovery and preemption need.
  std::vector<int32_t> history;
  int num_prompt_tokens = 0;
  int max_tokens = 1;
  bool needs_prompt_logits = false;
  // Of the prompt, found in the prefix cache when the sequence first ran; for Usage.
  int num_cached_tokens = 0;
  // It has been in a step at least once: the end of its time in the queue.
  bool started = false;

  // Below here: while running. `blocks` covers the history; of the history's KV, the first
  // `num_scheduled_tokens` are computed by steps that are done or in flight.
  std::vector<BlockId> blocks;
  int num_scheduled_tokens = 0;
  // Full blocks already offered to the prefix cache, and the prefix they make.
  int num_registered_blocks = 0;
  PrefixId registered_prefix = kRootPrefix;
  // Another number for each time that a sequence starts to run, 0 while it does not: results of an
  // earlier run, from before a preemption, are known by it.
  uint64_t run = 0;
  // Positions of the prompt computed by completed steps without a gap from 0.
  int num_seen_prompt_tokens = 0;

  bool running() const { return run != 0; }
  int num_tokens() const { return static_cast<int>(history.size()); }
  int num_generated_tokens() const { return num_tokens() - num_prompt_tokens; }
  // 0: its sample is in flight; 1: decodes; more: a prompt, or a history to be replayed.
  int num_unscheduled_tokens() const { return num_tokens() - num_scheduled_tokens; }
};

}  // namespace layercake
