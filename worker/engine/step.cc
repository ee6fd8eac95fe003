#include "worker/engine/step.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

template <typename... Parts>
absl::Status Bad(const StepRequest& step, const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("step ", step.step_id, ": ", parts...));
}

absl::Status CheckIds(const StepRequest& step, std::span<const int32_t> ids, int64_t end,
                      absl::string_view what) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= end) return Bad(step, what, " ", id, " is not in [0, ", end, ")");
  }
  return absl::OkStatus();
}

absl::Status CheckSlice(const StepRequest& step, size_t index, const StepLimits& limits) {
  const SliceRequest& slice = step.slices[index];
  const SliceView& view = slice.view;
  const int64_t context = limits.stage.max_context_tokens;
  const int64_t block_size = limits.stage.block_size_tokens;
  if (view.num_tokens < 1 || view.position < 0 || view.position > context ||
      view.num_tokens > context - view.position) {
    return Bad(step, "slice ", index, " has ", view.num_tokens, " tokens from position ",
               view.position, "; the context is ", context);
  }
  const int64_t end = view.position + view.num_tokens;
  const int64_t blocks = static_cast<int64_t>(view.block_ids.size());
  if (blocks * block_size < end || (blocks - 1) * block_size >= context) {
    return Bad(step, "slice ", index, " has ", blocks, " blocks of ", block_size,
               " tokens for positions up to ", end - 1, " of a context of ", context);
  }
  LC_RETURN_IF_ERROR(CheckIds(step, view.block_ids, limits.num_blocks, "block id"));
  LC_RETURN_IF_ERROR(CheckIds(step, slice.known_next_ids, limits.vocab_size, "known next id"));
  if (static_cast<int64_t>(slice.known_next_ids.size()) > view.num_tokens ||
      slice.known_top_logprobs < 0 || slice.known_top_logprobs > limits.vocab_size) {
    return Bad(step, "slice ", index, " of ", view.num_tokens, " tokens asks for ",
               slice.known_next_ids.size(), " known tokens with ", slice.known_top_logprobs,
               " rivals each");
  }
  if (slice.sampling.history_ids.size() != slice.sampling.history_counts.size()) {
    return Bad(step, "slice ", index, " has ", slice.sampling.history_ids.size(),
               " history ids but ", slice.sampling.history_counts.size(), " counts");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckStep(const StepRequest& step, const StepLimits& limits) {
  if (step.slices.empty() ||
      static_cast<int64_t>(step.slices.size()) > limits.stage.max_batch_sequences) {
    return Bad(step, step.slices.size(), " slices; the stage is sized for 1 to ",
               limits.stage.max_batch_sequences);
  }
  std::vector<int32_t> written;
  int64_t num_tokens = 0;
  for (size_t i = 0; i < step.slices.size(); ++i) {
    LC_RETURN_IF_ERROR(CheckSlice(step, i, limits));
    const SliceView& view = step.slices[i].view;
    num_tokens += view.num_tokens;
    const int64_t first = view.position / limits.stage.block_size_tokens;
    const int64_t last = (view.position + view.num_tokens - 1) / limits.stage.block_size_tokens;
    written.insert(written.end(), view.block_ids.begin() + first,
                   view.block_ids.begin() + last + 1);
  }
  if (num_tokens > limits.stage.max_step_tokens ||
      num_tokens != static_cast<int64_t>(step.token_ids.size())) {
    return Bad(step, "slices of ", num_tokens, " tokens and ", step.token_ids.size(),
               " token ids; the stage is sized for ", limits.stage.max_step_tokens);
  }
  LC_RETURN_IF_ERROR(CheckIds(step, step.token_ids, limits.vocab_size, "token id"));
  std::sort(written.begin(), written.end());
  const auto twice = std::adjacent_find(written.begin(), written.end());
  if (twice != written.end()) return Bad(step, "block ", *twice, " would be written twice");
  return absl::OkStatus();
}

}  // namespace layercake
