#include "coordinator/placement/predict.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "coordinator/placement/memory.h"

namespace layercake {
namespace {

void AddLinks(const DeviceSelection& selection, const Pipeline& pipeline, double bytes,
              StepTimes& step) {
  for (size_t i = 1; i < pipeline.stages.size(); ++i) {
    step.links.push_back(
        selection.links.at(pipeline.stages[i - 1].device, pipeline.stages[i].device)
            .Seconds(bytes));
  }
  step.links.push_back(0);
}

}  // namespace

double StepTimes::sum() const {
  return std::accumulate(links.begin(), links.end(),
                         std::accumulate(stages.begin(), stages.end(), 0.0));
}

double StepTimes::period() const {
  return std::max(*std::max_element(stages.begin(), stages.end()),
                  *std::max_element(links.begin(), links.end()));
}

int64_t ChooseBlocks(const CostModel& cost, const std::vector<UsableDevice>& devices,
                     const Pipeline& pipeline) {
  const int64_t in_flight =
      static_cast<int64_t>(pipeline.stages.size()) * cost.limits().max_batch_sequences;
  const int64_t enough = std::max(cost.context_blocks(), in_flight * cost.sequence_blocks());
  int64_t blocks =
      std::min<int64_t>(in_flight * cost.context_blocks(), std::numeric_limits<int32_t>::max());
  for (const StageChoice& stage : pipeline.stages) {
    const UsableDevice& device = devices[stage.device];
    const int64_t fit = BlocksThatFit(cost, device, stage.first, stage.count);
    blocks = std::min(blocks, device.may_fill ? fit : std::min(fit, enough));
  }
  return blocks;
}

StepTimes DecodeStep(const CostModel& cost, const DeviceSelection& selection,
                     const Pipeline& pipeline, int64_t sequences, bool all_busy) {
  StepTimes step;
  for (const StageChoice& stage : pipeline.stages) {
    const UsableDevice& device = selection.devices[stage.device];
    step.stages.push_back(cost.DecodeSeconds(all_busy ? device.crowded_speed : device.speed,
                                             stage.first, stage.count, sequences));
  }
  AddLinks(selection, pipeline, static_cast<double>(cost.ActivationBytes(sequences)), step);
  return step;
}

StepTimes PrefillStep(const CostModel& cost, const DeviceSelection& selection,
                      const Pipeline& pipeline) {
  StepTimes step;
  for (const StageChoice& stage : pipeline.stages) {
    step.stages.push_back(cost.PrefillSeconds(selection.devices[stage.device].crowded_speed,
                                              stage.first, stage.count));
  }
  const int64_t tokens = cost.limits().max_step_tokens;
  AddLinks(selection, pipeline, static_cast<double>(cost.ActivationBytes(tokens)), step);
  return step;
}

Prediction Predict(const CostModel& cost, const DeviceSelection& selection,
                   const Pipeline& pipeline, int64_t blocks) {
  const int64_t stages = static_cast<int64_t>(pipeline.stages.size());
  const int64_t sequences = std::max<int64_t>(1, blocks / cost.sequence_blocks());
  const int64_t steps_in_flight = std::min(stages, sequences);
  Prediction prediction;
  prediction.step_sequences =
      std::clamp<int64_t>(sequences / stages, 1, cost.limits().max_batch_sequences);
  prediction.sequences_in_flight = prediction.step_sequences * steps_in_flight;
  prediction.step = DecodeStep(cost, selection, pipeline, prediction.step_sequences,
                               /*all_busy=*/true);
  prediction.token_seconds = DecodeStep(cost, selection, pipeline, 1, /*all_busy=*/false).sum();
  const double round = std::max(prediction.step.sum(),
                                static_cast<double>(steps_in_flight) * prediction.step.period());
  prediction.tokens_per_second = static_cast<double>(prediction.sequences_in_flight) / round;
  const StepTimes prefill = PrefillStep(cost, selection, pipeline);
  prediction.prompt_tokens_per_second =
      static_cast<double>(cost.limits().max_step_tokens) /
      std::max(prefill.period(), prefill.sum() / static_cast<double>(stages));
  return prediction;
}

double TokensPerSecond(const CostModel& cost, const DeviceSelection& selection,
                       const Pipeline& pipeline) {
  const int64_t blocks = ChooseBlocks(cost, selection.devices, pipeline);
  return Predict(cost, selection, pipeline, blocks).tokens_per_second;
}

std::string CostModelInWords(const CostModel& cost) {
  return absl::StrCat(
      cost.InWords(), " A link takes its latency + tokens of the step * ", cost.ActivationBytes(1),
      " activation bytes / its bandwidth. A step's period is its slowest stage or link, for links "
      "carry one step while others are computed; a token of one sequence alone takes the sum of "
      "stages and links. Tokens/s = sequences in flight / max(sum of stages and links, steps in "
      "flight * period): as many steps as there are stages, of at most ",
      cost.limits().max_batch_sequences, " sequences each, as far as KV blocks allow.");
}

}  // namespace layercake
