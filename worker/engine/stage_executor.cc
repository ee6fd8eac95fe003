#include "worker/engine/stage_executor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"

namespace layercake {

namespace {

int64_t BytesOf(const ActivationSlots& slots) {
  int64_t bytes = 0;
  for (const auto& slot : slots) bytes += slot == nullptr ? 0 : slot->bytes();
  return bytes;
}

}  // namespace

StageBytes CountStageBytes(const ModelConfig& config, const StageShape& shape) {
  return {StageWeightBytes(config, shape.range),
          shape.range.num_layers * shape.num_blocks * LayerBlockBytes(config, shape.limits),
          WorkspaceBytes(config, shape.range, shape.limits) +
              LinkBytes(config, shape.range, shape.limits)};
}

StageExecutor::StageExecutor(const StageShape& shape, int64_t vocab_size, Device& device,
                             const Clock& clock)
    : shape_(shape), vocab_size_(vocab_size), device_(device), clock_(clock) {}

absl::StatusOr<std::unique_ptr<StageExecutor>> StageExecutor::Load(const Checkpoint& checkpoint,
                                                                   const StageShape& shape,
                                                                   Device& device,
                                                                   const Clock& clock,
                                                                   LoadProgress progress) {
  std::unique_ptr<StageExecutor> stage(
      new StageExecutor(shape, checkpoint.config().vocab_size, device, clock));
  // KV first: it is the quicker to fail, and its size is what an operator can change.
  LC_ASSIGN_OR_RETURN(stage->kv_cache_, KvCache::Create(checkpoint.config(), shape.range.num_layers,
                                                        shape.limits, shape.num_blocks, device));
  const int64_t activation_bytes = ActivationBytes(checkpoint.config(), shape.limits);
  if (!shape.range.has_embedding) {
    LC_ASSIGN_OR_RETURN(stage->incoming_, MakeActivationSlots(activation_bytes, device));
  }
  if (!shape.range.has_head) {
    LC_ASSIGN_OR_RETURN(stage->outgoing_, MakeActivationSlots(activation_bytes, device));
  }
  LC_ASSIGN_OR_RETURN(stage->decoder_,
                      Decoder::Load(checkpoint, shape.range, shape.limits, device, progress));
  if (shape.range.has_head) {
    LC_ASSIGN_OR_RETURN(stage->sampler_, RowSampler::Create(shape.limits.max_batch_sequences,
                                                            stage->vocab_size_, device));
  }
  stage->bytes_ = {
      stage->decoder_->weight_bytes(), stage->kv_cache_->bytes(),
      stage->decoder_->workspace_bytes() + BytesOf(stage->incoming_) + BytesOf(stage->outgoing_)};
  return stage;
}

void StageExecutor::StartEpoch(uint64_t epoch) {
  for (const ActivationSlots* slots : {&incoming_, &outgoing_}) {
    for (const auto& slot : *slots) {
      if (slot != nullptr) (void)slot->Wait();
    }
  }
  epoch_ = epoch;
  lost_ = absl::OkStatus();
  num_steps_ = 0;
}

absl::StatusOr<StepOutput> StageExecutor::Run(const StepRequest& step, const StageLinks& links) {
  CHECK_EQ(links.source == nullptr, shape_.range.has_embedding);
  CHECK_EQ(links.sink == nullptr, shape_.range.has_head);
  LC_RETURN_IF_ERROR(lost_);
  auto output = RunChecked(step, links);
  computing_since_nanos_ = 0;
  if (output.ok()) {
    ++num_steps_;
  } else {
    lost_ = output.status();
  }
  return output;
}

absl::StatusOr<StepOutput> StageExecutor::RunChecked(const StepRequest& step,
                                                     const StageLinks& links) {
  if (step.epoch != epoch_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "step ", step.step_id, " is of epoch ", step.epoch, "; the stage is in epoch ", epoch_));
  }
  if (step.step_id != num_steps_ + 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("step ", step.step_id, " came where step ", num_steps_ + 1, " was due"));
  }
  LC_RETURN_IF_ERROR(CheckStep(step, {shape_.limits, shape_.num_blocks, vocab_size_}));
  StepOutput output;
  output.step_id = step.step_id;
  const TensorView hidden = decoder_->hidden(static_cast<int64_t>(step.token_ids.size()));
  const absl::Time asked = clock_.Now();
  if (links.source != nullptr) {
    LC_RETURN_IF_ERROR(links.source->Receive(step.step_id, hidden));
  }
  const absl::Time began = clock_.Now();
  output.wait_time = began - asked;
  computing_since_nanos_ = absl::ToUnixNanos(began);
  LC_RETURN_IF_ERROR(Compute(step, links.source == nullptr, output));
  computing_since_nanos_ = 0;
  output.compute_time = clock_.Now() - began;
  if (links.sink != nullptr) LC_RETURN_IF_ERROR(links.sink->Send(step.step_id, hidden));
  return output;
}

absl::Status StageExecutor::Compute(const StepRequest& step, bool embed, StepOutput& output) {
  if (embed) LC_RETURN_IF_ERROR(decoder_->Embed(step.token_ids));
  std::vector<SliceView> slices;
  slices.reserve(step.slices.size());
  for (const SliceRequest& slice : step.slices) slices.push_back(slice.view);
  LC_RETURN_IF_ERROR(decoder_->Forward(slices, kv_cache_->layers()));
  return shape_.range.has_head ? ComputeOutputs(step, output) : device_.Finish();
}

absl::Status StageExecutor::ComputeOutputs(const StepRequest& step, StepOutput& output) {
  output.slices.resize(step.slices.size());
  std::vector<Row> rows;
  int64_t first_row = 0;
  for (size_t i = 0; i < step.slices.size(); ++i) {
    const SliceRequest& slice = step.slices[i];
    output.slices[i].known.resize(slice.known_next_ids.size());
    for (int64_t token = 0; token < slice.view.num_tokens; ++token) {
      Row row{static_cast<int32_t>(first_row + token), i, std::nullopt, false};
      if (token < static_cast<int64_t>(slice.known_next_ids.size())) row.known = token;
      row.sample = slice.sample && token + 1 == slice.view.num_tokens;
      if (row.known || row.sample) rows.push_back(row);
    }
    first_row += slice.view.num_tokens;
  }
  const size_t group = shape_.limits.max_batch_sequences;
  std::vector<int32_t> indices;
  for (size_t begin = 0; begin < rows.size(); begin += group) {
    const auto some = std::span(rows).subspan(begin, std::min(group, rows.size() - begin));
    indices.clear();
    for (const Row& row : some) indices.push_back(row.row);
    LC_ASSIGN_OR_RETURN(const TensorView logits, decoder_->Logits(indices));
    LC_RETURN_IF_ERROR(FillOutputs(step, some, logits, output));
  }
  return absl::OkStatus();
}

absl::Status StageExecutor::FillOutputs(const StepRequest& step, std::span<const Row> rows,
                                        const TensorView& logits, StepOutput& output) {
  std::vector<RowRequest> requests;
  for (const Row& row : rows) {
    const SliceRequest& slice = step.slices[row.slice];
    RowRequest& request = requests.emplace_back();
    if (row.sample) request.sampling = &slice.sampling;
    request.position = slice.view.position + slice.view.num_tokens;
    if (!row.known) continue;
    request.known_id = slice.known_next_ids[*row.known];
    request.known_top_logprobs = slice.known_top_logprobs;
  }
  std::vector<RowResult> results(rows.size());
  LC_RETURN_IF_ERROR(sampler_.Run(logits, requests, results, device_));
  for (size_t i = 0; i < rows.size(); ++i) {
    SliceOutput& slice = output.slices[rows[i].slice];
    const absl::Status& status = results[i].status;
    if (!status.ok()) {
      const absl::Status error(status.code(), absl::StrCat("step ", step.step_id, ", slice ",
                                                           rows[i].slice, ": ", status.message()));
      // What was asked for is the coordinator's mistake; what the model said concerns one sequence.
      if (!absl::IsInternal(error)) return error;
      slice.error.Update(error);
      continue;
    }
    if (rows[i].known) slice.known[*rows[i].known] = std::move(results[i].known);
    if (rows[i].sample) slice.sampled = std::move(results[i].sampled);
  }
  return absl::OkStatus();
}

std::optional<absl::Duration> StageExecutor::step_running() const {
  const int64_t since = computing_since_nanos_;
  if (since == 0) return std::nullopt;
  return clock_.Now() - absl::FromUnixNanos(since);
}

}  // namespace layercake
