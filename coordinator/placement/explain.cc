#include "coordinator/placement/explain.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/text_table.h"

namespace layercake {
namespace {

std::string Milliseconds(double seconds) {
  return absl::StrCat(FormatFigure(seconds * 1e3), " ms");
}

double StageSeconds(const PlanningProblem& problem, const CostModel& cost, const StageChoice& stage,
                    int64_t sequences) {
  return cost.DecodeSeconds(problem.selection.devices[stage.device].speed, stage.first, stage.count,
                            sequences);
}

// Index of the stage that takes longest.
size_t SlowestStage(const PlanningProblem& problem, const CostModel& cost, const Pipeline& pipeline,
                    int64_t sequences) {
  size_t slowest = 0;
  for (size_t i = 1; i < pipeline.stages.size(); ++i) {
    if (StageSeconds(problem, cost, pipeline.stages[i], sequences) >
        StageSeconds(problem, cost, pipeline.stages[slowest], sequences)) {
      slowest = i;
    }
  }
  return slowest;
}

// KV blocks that the plan is worth having: the context promised, and for throughput the sequences
// in flight.
int64_t WantedBlocks(const PlanningProblem& problem, const CostModel& cost,
                     const Prediction& prediction) {
  const bool throughput = problem.options.policy() == v1::PlanOptions::POLICY_AUTO &&
                          problem.options.objective() == v1::PlanOptions::OBJECTIVE_THROUGHPUT;
  if (!throughput) return cost.context_blocks();
  return std::max(cost.context_blocks(), prediction.sequences_in_flight * cost.sequence_blocks());
}

// Bytes that one layer more would lack on the stage's device; <= 0 when it would fit.
int64_t LackedByOneMore(const PlanningProblem& problem, const CostModel& cost,
                        const StageChoice& stage, bool from_the_next, int64_t blocks) {
  const int first = from_the_next ? stage.first : stage.first - 1;
  const int count = stage.count + 1;
  const UsableDevice& device = problem.selection.devices[stage.device];
  return cost.WeightBytes(first, count) + cost.WorkspaceBytes(first, count) +
         cost.BlockBytes(first, count) * blocks - device.usable_bytes();
}

std::string PolicyWords(const PlanningProblem& problem) {
  switch (problem.options.policy()) {
    case v1::PlanOptions::POLICY_BALANCED:
      return "an equal share";
    case v1::PlanOptions::POLICY_SEQUENTIAL:
      return "filled in order";
    case v1::PlanOptions::POLICY_PROPORTIONAL:
      return problem.options.split_size() > 0 ? "its share in --split" : "its share of the memory";
    default:
      return "as --layers says";
  }
}

}  // namespace

std::string StageReason(const PlanningProblem& problem, const Pipeline& pipeline, size_t index,
                        const Prediction& prediction) {
  const CostModel cost = problem.cost();
  const StageChoice& stage = pipeline.stages[index];
  if (problem.manual()) return PolicyWords(problem);
  const std::string pace =
      Milliseconds(StageSeconds(problem, cost, stage, prediction.step_sequences));
  const bool automatic = problem.options.policy() == v1::PlanOptions::POLICY_AUTO;
  if (pipeline.stages.size() == 1) {
    return automatic ? "holds the whole model; no cut over more devices would be faster"
                     : absl::StrCat(PolicyWords(problem), ": the whole model");
  }
  const bool last = index + 1 == pipeline.stages.size();
  const int64_t blocks = WantedBlocks(problem, cost, prediction);
  const int64_t lacked = LackedByOneMore(problem, cost, stage, !last, blocks);
  if (lacked > 0) {
    return absl::StrCat(automatic ? "" : PolicyWords(problem) + "; ",
                        "as many layers as fit beside KV for ",
                        blocks * cost.limits().block_size_tokens, " tokens: one more would lack ",
                        FormatBytes(lacked));
  }
  if (!automatic) return PolicyWords(problem);
  if (problem.options.objective() == v1::PlanOptions::OBJECTIVE_LATENCY) {
    return absl::StrCat("adds ", Milliseconds(StageSeconds(problem, cost, stage, 1)),
                        " to a token, the least for what the other devices cannot hold");
  }
  const size_t slowest = SlowestStage(problem, cost, pipeline, prediction.step_sequences);
  if (slowest == index) {
    return absl::StrCat("sets the pace at ", pace, " a step; every other cut has a slower stage");
  }
  return absl::StrCat(pace, " a step, within the pace of ",
                      problem.selection.devices[pipeline.stages[slowest].device].name, " (",
                      Milliseconds(StageSeconds(problem, cost, pipeline.stages[slowest],
                                                prediction.step_sequences)),
                      ")");
}

std::string LeftOutReason(const PlanningProblem& problem, const Pipeline& pipeline, int device,
                          const Prediction& prediction) {
  const CostModel cost = problem.cost();
  const UsableDevice& left_out = problem.selection.devices[device];
  const int first = cost.num_layers() > 2 ? 1 : 0;
  const int64_t least = cost.WeightBytes(first, 1) + cost.WorkspaceBytes(first, 1) +
                        cost.BlockBytes(first, 1) * cost.context_blocks();
  if (least > left_out.usable_bytes()) {
    return absl::StrCat("too small: one layer with its KV and workspace takes ", FormatBytes(least),
                        ", it has ", FormatBytes(left_out.usable_bytes()), " to give");
  }
  if (problem.options.policy() != v1::PlanOptions::POLICY_AUTO) {
    return problem.manual() ? "not named in --layers" : "no layers were left for it";
  }
  if (problem.options.objective() == v1::PlanOptions::OBJECTIVE_LATENCY) {
    return absl::StrCat("would only slow a token down: even one layer takes ",
                        Milliseconds(cost.DecodeSeconds(left_out.speed, first, 1, 1)),
                        " there, all of them take ", Milliseconds(prediction.token_seconds),
                        " without it");
  }
  const size_t slowest = SlowestStage(problem, cost, pipeline, prediction.step_sequences);
  const StageChoice& stage = pipeline.stages[slowest];
  return absl::StrCat(
      "would not make the slowest stage faster: even one layer takes ",
      Milliseconds(cost.DecodeSeconds(left_out.speed, first, 1, prediction.step_sequences)),
      " a step there, the slowest stage (", problem.selection.devices[stage.device].name,
      ") takes ", Milliseconds(StageSeconds(problem, cost, stage, prediction.step_sequences)));
}

}  // namespace layercake
