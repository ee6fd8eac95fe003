#include "coordinator/placement/cost_model.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/model/layer_shape.h"

namespace layercake {
namespace {

// Query rows that share a pass over keys and values where nothing was measured.
constexpr double kUnmeasuredKvRows = 48;

int64_t DivideUp(int64_t dividend, int64_t divisor) { return (dividend + divisor - 1) / divisor; }

// Of one token through one layer, as the profile counts them: two norms and two sums; queries, keys
// and values; both halves of the gated product, and of experts each one's, and its way there and
// back.
double ActivationValues(const ModelConfig& model) {
  const int64_t feed_forward =
      model.experts
          ? model.experts->num_experts + model.experts->experts_per_token *
                                             (2 * model.experts->expert_dim + 2 * model.hidden_dim)
          : 2 * model.intermediate_dim;
  return static_cast<double>(4 * model.hidden_dim +
                             (model.num_heads + 2 * model.num_kv_heads) * model.head_dim +
                             feed_forward);
}

double BytesPerInteger(const ModelConfig& model) {
  if (!model.quantization) return 0;
  constexpr int64_t kOutputs = 1024, kInputs = 4096;
  return static_cast<double>(QuantizedMatrixBytes(kOutputs, kInputs, *model.quantization)) /
         (kOutputs * kInputs);
}

}  // namespace

CostModel::CostModel(const ModelConfig& model, const StageLimits& limits)
    : model_(model),
      limits_(limits),
      before_(static_cast<size_t>(model.num_layers) + 1),
      embedding_weight_bytes_(EmbeddingWeightBytes(model)),
      head_weight_bytes_(HeadWeightBytes(model)),
      bytes_per_integer_(BytesPerInteger(model)),
      layer_block_bytes_(LayerBlockBytes(model, limits)),
      head_flops_(layercake::HeadFlops(model)),
      layer_activation_values_(ActivationValues(model)),
      queries_per_kv_head_(static_cast<double>(model.num_heads) /
                           static_cast<double>(std::max<int64_t>(1, model.num_kv_heads))),
      context_blocks_(DivideUp(limits.max_context_tokens, limits.block_size_tokens)),
      sequence_blocks_(DivideUp(std::min(limits.max_context_tokens, kPlanningContextTokens),
                                limits.block_size_tokens)) {
  CHECK_GT(limits.max_context_tokens, 0);
  for (int64_t layer = 0; layer < model.num_layers; ++layer) {
    const Sums& before = before_[static_cast<size_t>(layer)];
    before_[static_cast<size_t>(layer) + 1] = {
        .weight_bytes = before.weight_bytes + LayerWeightBytes(model, layer),
        .expert_bytes = before.expert_bytes + LayerExpertBytes(model, layer),
        .flops = before.flops + layercake::LayerFlops(model, layer),
        .expert_flops = before.expert_flops + LayerExpertFlops(model, layer),
        .expert_layers = before.expert_layers + (HasExperts(model, layer) ? 1 : 0)};
    const int kind = HasExperts(model, layer) ? 2 : 1;
    for (const bool head : {false, true}) {
      workspace_bytes_[kind][head] =
          layercake::WorkspaceBytes(model, {layer, 1, false, head}, limits);
    }
  }
  for (const bool head : {false, true}) {
    workspace_bytes_[3][head] = std::max(workspace_bytes_[1][head], workspace_bytes_[2][head]);
  }
  FindRuns();
}

void CostModel::FindRuns() {
  run_of_.assign(num_layers(), 0);
  for (int layer = 1; layer < num_layers(); ++layer) {
    run_of_[layer] = SumsOf(layer - 1, 1) == SumsOf(layer, 1) ? run_of_[layer - 1] : layer;
  }
  unlike_middles_.resize(num_layers());
  for (int count = 1; count < num_layers(); ++count) {
    for (int first = 1; first + count < num_layers(); ++first) {
      if (FirstLike(first, count) == first) unlike_middles_[count].push_back(first);
    }
  }
}

CostModel::Sums CostModel::SumsOf(int first, int count) const {
  const Sums& from = before_[first];
  const Sums& to = before_[first + count];
  return {.weight_bytes = to.weight_bytes - from.weight_bytes,
          .expert_bytes = to.expert_bytes - from.expert_bytes,
          .flops = to.flops - from.flops,
          .expert_flops = to.expert_flops - from.expert_flops,
          .expert_layers = to.expert_layers - from.expert_layers};
}

int CostModel::FirstLike(int first, int count) const {
  const int run = run_of_[first];
  if (first == 0 || HasHead(first, count) || run_of_[first + count - 1] != run) return first;
  return std::max(1, run);
}

int64_t CostModel::WeightBytes(int first, int count) const {
  return before_[first + count].weight_bytes - before_[first].weight_bytes +
         (first == 0 ? embedding_weight_bytes_ : 0) +
         (HasHead(first, count) ? head_weight_bytes_ : 0);
}

double CostModel::StreamedBytes(int first, int count, int64_t num_tokens) const {
  const Sums& from = before_[first];
  const Sums& to = before_[first + count];
  const double others = static_cast<double>(to.weight_bytes - from.weight_bytes -
                                            (to.expert_bytes - from.expert_bytes));
  const double head = static_cast<double>(HasHead(first, count) ? head_weight_bytes_ : 0);
  return others + StreamedExpertBytes(first, count, num_tokens) + head;
}

double CostModel::StreamedExpertBytes(int first, int count, int64_t num_tokens) const {
  return static_cast<double>(before_[first + count].expert_bytes - before_[first].expert_bytes) *
         ExpertShareRead(model_, num_tokens);
}

double CostModel::LayerFlops(int first, int count) const {
  return before_[first + count].flops - before_[first].flops;
}

double CostModel::HeadFlops(int first, int count) const {
  return HasHead(first, count) ? head_flops_ : 0;
}

int64_t CostModel::WorkspaceBytes(int first, int count) const {
  const int experts = before_[first + count].expert_layers - before_[first].expert_layers;
  const int kind = (experts < count ? 1 : 0) + (experts > 0 ? 2 : 0);
  const LayerRange range = {first, count, first == 0, HasHead(first, count)};
  return workspace_bytes_[kind][range.has_head ? 1 : 0] + LinkBytes(model_, range, limits_);
}

int64_t CostModel::BlockBytes(int /*first*/, int count) const { return layer_block_bytes_ * count; }

CostModel::Load CostModel::LoadOf(const DeviceSpeed& speed,
                                  std::span<const StepSlice> slices) const {
  const StreamTable& kv = speed.kv_of(limits_.kv_dtype);
  const double most_rows = kv.empty() ? kUnmeasuredKvRows : kv.most_rows();
  const double most_tokens = std::max(1.0, std::floor(most_rows / queries_per_kv_head_));
  Load load;
  double rows_read = 0;
  for (const StepSlice& slice : slices) {
    const double tokens = static_cast<double>(slice.num_tokens);
    const double together = std::min(tokens, most_tokens);
    // Each pass reads up to its own last token: on average half the slice beyond its beginning.
    const double read = std::ceil(tokens / together) *
                        (static_cast<double>(slice.position) + (tokens + together) / 2);
    load.tokens += tokens;
    load.sampled += slice.sampled ? 1 : 0;
    load.kv_tokens_read += read;
    load.kv_tokens_held += static_cast<double>(slice.position) + tokens;
    rows_read += read * together * queries_per_kv_head_;
  }
  if (load.kv_tokens_read > 0) load.kv_rows = rows_read / load.kv_tokens_read;
  return load;
}

double CostModel::ProductSeconds(const DeviceSpeed& speed, bool integers, double bytes,
                                 double flops, double working_set_bytes) const {
  if (bytes == 0) return 0;
  const StreamTable& table =
      integers ? speed.integers_of(model_.quantization->bits) : speed.weights_of(model_.dtype);
  if (table.empty()) {
    return std::max(bytes / speed.bytes_per_second, flops / speed.flops_per_second);
  }
  // As many as the operations make of the weights that are read.
  const double bytes_each =
      integers ? bytes_per_integer_ : static_cast<double>(DTypeBytes(model_.dtype));
  const double rows = flops * bytes_each / (2 * bytes);
  return bytes * table.SecondsPerByte(rows, working_set_bytes);
}

double CostModel::AttentionSeconds(const DeviceSpeed& speed, double kv_bytes, double kv_rows,
                                   double working_set_bytes) const {
  const StreamTable& table = speed.kv_of(limits_.kv_dtype);
  if (table.empty()) return kv_bytes / speed.bytes_per_second;
  return kv_bytes * table.SecondsPerByte(kv_rows, working_set_bytes);
}

double CostModel::LoadSeconds(const DeviceSpeed& speed, int first, int count,
                              const Load& load) const {
  const double layers = count;
  const double head_bytes = HasHead(first, count) ? static_cast<double>(head_weight_bytes_) : 0;
  const int64_t tokens = static_cast<int64_t>(load.tokens);
  const double layer_bytes = StreamedBytes(first, count, tokens) - head_bytes;
  const double expert_bytes = StreamedExpertBytes(first, count, tokens);
  const double expert_flops = before_[first + count].expert_flops - before_[first].expert_flops;
  const bool integers = model_.quantization.has_value();
  const double kv_token_bytes = static_cast<double>(BlockBytes(first, count)) /
                                static_cast<double>(limits_.block_size_tokens);
  // What passes through the caches from one step to the next: of experts all, as other tokens
  // choose others.
  const double weight_bytes =
      static_cast<double>(before_[first + count].weight_bytes - before_[first].weight_bytes);
  const double working_set = weight_bytes + head_bytes + load.kv_tokens_held * kv_token_bytes;
  double seconds =
      ProductSeconds(speed, integers, layer_bytes - expert_bytes,
                     load.tokens * (LayerFlops(first, count) - expert_flops), working_set) +
      ProductSeconds(speed, integers, expert_bytes, load.tokens * expert_flops, working_set) +
      AttentionSeconds(speed, load.kv_tokens_read * kv_token_bytes, load.kv_rows, working_set) +
      layers * (speed.layer_seconds +
                load.tokens * layer_activation_values_ * speed.seconds_per_activation_value);
  if (head_bytes > 0 && load.sampled > 0) {
    const bool head_integers = model_.quantization && model_.quantization->head;
    seconds +=
        ProductSeconds(speed, head_integers, head_bytes, load.sampled * head_flops_, working_set) +
        load.sampled * static_cast<double>(model_.vocab_size) * speed.seconds_per_logit;
  }
  return seconds;
}

double CostModel::StepSeconds(const DeviceSpeed& speed, int first, int count,
                              std::span<const StepSlice> slices) const {
  return LoadSeconds(speed, first, count, LoadOf(speed, slices));
}

double CostModel::DecodeSeconds(const DeviceSpeed& speed, int first, int count,
                                int64_t sequences) const {
  const double n = static_cast<double>(sequences);
  const double kv_tokens = n * static_cast<double>(sequence_blocks_ * limits_.block_size_tokens);
  const Load load = {.tokens = n,
                     .sampled = n,
                     .kv_tokens_read = kv_tokens,
                     .kv_tokens_held = kv_tokens,
                     .kv_rows = queries_per_kv_head_};
  return kStageOverheadSeconds + LoadSeconds(speed, first, count, load);
}

double CostModel::PrefillSeconds(const DeviceSpeed& speed, int first, int count) const {
  const StepSlice slice = {.num_tokens =
                               std::min(limits_.max_step_tokens, limits_.max_context_tokens)};
  return kStageOverheadSeconds + StepSeconds(speed, first, count, {&slice, 1});
}

int64_t CostModel::ActivationBytes(int64_t tokens) const {
  return tokens * model_.hidden_dim * DTypeBytes(limits_.activation_dtype);
}

std::string CostModel::InWords() const {
  return absl::StrCat(
      "step = layers * layer + products + attention + activations + head. "
      "products = weight bytes read * seconds per byte, by rows and bytes of the stage; "
      "attention = KV bytes read * seconds per byte, by query rows that share a read; "
      "activations = tokens * values of a layer / rate; "
      "head = its product for the sampled rows + logits / rate. "
      "All rates as measured on the device, per format. Where only bandwidth and operations a "
      "second are known: products = max(bytes / bandwidth, operations / rate), attention = KV "
      "bytes / bandwidth, the rest 0. decode = ",
      kStageOverheadSeconds * 1e6, " us + step of a token of each of the batch's sequences, ",
      sequence_blocks_ * limits_.block_size_tokens,
      " tokens long; prefill = ", kStageOverheadSeconds * 1e6,
      " us + step of a piece of prompt of ", limits_.max_step_tokens, " tokens.");
}

}  // namespace layercake
