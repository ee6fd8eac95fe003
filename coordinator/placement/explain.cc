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

// The slowest part of a step: a stage, or the link that follows it.
struct Slowest {
  size_t stage = 0;
  bool link = false;
  double seconds = 0;
};

Slowest SlowestPart(const StepTimes& step) {
  Slowest slowest{.seconds = step.stages[0]};
  for (size_t i = 0; i < step.stages.size(); ++i) {
    if (step.stages[i] > slowest.seconds) slowest = {.stage = i, .seconds = step.stages[i]};
  }
  for (size_t i = 0; i < step.links.size(); ++i) {
    if (step.links[i] > slowest.seconds) {
      slowest = {.stage = i, .link = true, .seconds = step.links[i]};
    }
  }
  return slowest;
}

const std::string& NameOf(const PlanningProblem& problem, const Pipeline& pipeline, size_t index) {
  return problem.selection.devices[pipeline.stages[index].device].name;
}

// "m40 (12.3 ms)", or "the link from m40 to p106 (2.1 ms)".
std::string PartName(const PlanningProblem& problem, const Pipeline& pipeline,
                     const Slowest& part) {
  const std::string& name = NameOf(problem, pipeline, part.stage);
  const std::string time = absl::StrCat(" (", Milliseconds(part.seconds), ")");
  if (!part.link) return name + time;
  return absl::StrCat("the link from ", name, " to ", NameOf(problem, pipeline, part.stage + 1),
                      time);
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

// The least that a step takes between `device` and any of the pipeline, one way.
double QuickestLink(const PlanningProblem& problem, const CostModel& cost, const Pipeline& pipeline,
                    int device, int64_t sequences) {
  const auto bytes = static_cast<double>(cost.ActivationBytes(sequences));
  double quickest = kDoesNotFit;
  for (const StageChoice& stage : pipeline.stages) {
    quickest = std::min({quickest, problem.selection.links.at(stage.device, device).Seconds(bytes),
                         problem.selection.links.at(device, stage.device).Seconds(bytes)});
  }
  return quickest;
}

}  // namespace

std::string StageReason(const PlanningProblem& problem, const Pipeline& pipeline, size_t index,
                        const Prediction& prediction) {
  const CostModel cost = problem.cost();
  const StageChoice& stage = pipeline.stages[index];
  if (problem.manual()) return PolicyWords(problem);
  const std::string pace = Milliseconds(prediction.step.stages[index]);
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
    const StepTimes alone = DecodeStep(cost, problem.selection, pipeline, 1, /*all_busy=*/false);
    const std::string link =
        last ? "" : absl::StrCat(" and ", Milliseconds(alone.links[index]), " on the way on");
    return absl::StrCat("adds ", Milliseconds(alone.stages[index]), link,
                        " to a token, the least for what the other devices cannot hold");
  }
  const Slowest slowest = SlowestPart(prediction.step);
  if (slowest.stage != index) {
    return absl::StrCat(pace, " a step, within the pace of ", PartName(problem, pipeline, slowest));
  }
  if (slowest.link) {
    return absl::StrCat(pace, " a step; its link to ", NameOf(problem, pipeline, index + 1),
                        " sets the pace at ", Milliseconds(slowest.seconds),
                        ", and every other cut has a slower part");
  }
  return absl::StrCat("sets the pace at ", pace, " a step; every other cut has a slower stage");
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
  const bool latency = problem.options.objective() == v1::PlanOptions::OBJECTIVE_LATENCY;
  const int64_t sequences = latency ? 1 : prediction.step_sequences;
  const DeviceSpeed& speed = latency ? left_out.speed : left_out.crowded_speed;
  const double one_layer = cost.DecodeSeconds(speed, first, 1, sequences);
  const double link = QuickestLink(problem, cost, pipeline, device, sequences);
  if (latency) {
    return absl::StrCat("would only slow a token down: even one layer takes ",
                        Milliseconds(one_layer), " there and ", Milliseconds(link),
                        " more on the way, all of them take ",
                        Milliseconds(prediction.token_seconds), " without it");
  }
  const std::string slowest = PartName(problem, pipeline, SlowestPart(prediction.step));
  if (link > prediction.step.period()) {
    return absl::StrCat("would only slow the pipeline down: a step takes ", Milliseconds(link),
                        " on the way to it or from it, the slowest part now is ", slowest);
  }
  if (one_layer < prediction.step.period()) {
    return absl::StrCat("would not help: no cut that uses it has a faster slowest part than ",
                        slowest);
  }
  return absl::StrCat("would not make the slowest stage faster: even one layer takes ",
                      Milliseconds(one_layer), " a step there, the slowest part now is ", slowest);
}

}  // namespace layercake
