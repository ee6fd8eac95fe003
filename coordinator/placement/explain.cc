#include "coordinator/placement/explain.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
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

// One layer more would be too much for the stage's device.
bool IsFull(const PlanningProblem& problem, const CostModel& cost, const Pipeline& pipeline,
            size_t index, int64_t blocks) {
  const bool last = index + 1 == pipeline.stages.size();
  return LackedByOneMore(problem, cost, pipeline.stages[index], !last, blocks) > 0;
}

// Layers that the policy would give `device`, whatever it holds.
double ShareOf(const PlanningProblem& problem, int device) {
  const std::vector<UsableDevice>& devices = problem.selection.devices;
  if (problem.options.policy() == v1::PlanOptions::POLICY_BALANCED) {
    return static_cast<double>(problem.model.num_layers) / static_cast<double>(devices.size());
  }
  double total = 0;
  for (const UsableDevice& each : devices) total += each.share;
  return static_cast<double>(problem.model.num_layers) * devices[device].share / total;
}

std::string ShareName(const PlanningProblem& problem) {
  if (problem.options.policy() == v1::PlanOptions::POLICY_BALANCED) return "an equal share";
  return problem.options.split_size() > 0 ? "its share in --split" : "its share of the memory";
}

// Of a stage that has about its share of the layers, so; else what kept it from that.
std::string ShareReason(const PlanningProblem& problem, const CostModel& cost,
                        const Pipeline& pipeline, size_t index) {
  const StageChoice& stage = pipeline.stages[index];
  const double share = ShareOf(problem, stage.device);
  if (std::abs(stage.count - share) < 1) return ShareName(problem);
  std::vector<std::string> full;
  for (size_t i = 0; i < pipeline.stages.size(); ++i) {
    const StageChoice& other = pipeline.stages[i];
    if (other.count >= ShareOf(problem, other.device) ||
        !IsFull(problem, cost, pipeline, i, cost.context_blocks())) {
      continue;
    }
    full.push_back(absl::StrCat(NameOf(problem, pipeline, i), " holds no more than ", other.count));
  }
  constexpr size_t kMostNamed = 4;
  if (full.size() > kMostNamed) {
    full[kMostNamed] = absl::StrCat(full.size() - kMostNamed, " more are full");
    full.resize(kMostNamed + 1);
  }
  return absl::StrCat(
      Counted(stage.count, "layer"), "; ", ShareName(problem),
      absl::StrFormat(" would be %.1f", share),
      full.empty() || stage.count < share ? "" : absl::StrCat(", but ", absl::StrJoin(full, ", ")));
}

std::string PolicyWords(const PlanningProblem& problem, const CostModel& cost,
                        const Pipeline& pipeline, size_t index) {
  switch (problem.options.policy()) {
    case v1::PlanOptions::POLICY_SEQUENTIAL:
      return "filled in order";
    case v1::PlanOptions::POLICY_MANUAL:
      return "as --layers says";
    default:
      return ShareReason(problem, cost, pipeline, index);
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
                        const Prediction& prediction, bool best) {
  const CostModel cost = problem.cost();
  const StageChoice& stage = pipeline.stages[index];
  const bool automatic = problem.options.policy() == v1::PlanOptions::POLICY_AUTO;
  const bool latency = problem.options.objective() == v1::PlanOptions::OBJECTIVE_LATENCY;
  const std::string words = automatic ? "" : PolicyWords(problem, cost, pipeline, index);
  if (problem.manual()) return words;
  const std::string pace = Milliseconds(prediction.step.stages[index]);
  if (pipeline.stages.size() == 1) {
    if (!automatic) return absl::StrCat(words, ": the whole model");
    if (!best || problem.selection.devices.size() == 1) return "holds the whole model";
    return absl::StrCat("holds the whole model; no cut over more devices ",
                        latency ? "makes a token quicker" : "gives more tokens/s");
  }
  const bool last = index + 1 == pipeline.stages.size();
  const int64_t blocks = WantedBlocks(problem, cost, prediction);
  const int64_t lacked = LackedByOneMore(problem, cost, stage, !last, blocks);
  if (lacked > 0) {
    return absl::StrCat(words, automatic ? "" : "; ", "as many layers as fit beside KV for ",
                        blocks * cost.limits().block_size_tokens, " tokens: one more would lack ",
                        FormatBytes(lacked));
  }
  if (!automatic) return words;
  if (latency) {
    const StepTimes alone = DecodeStep(cost, problem.selection, pipeline, 1, /*all_busy=*/false);
    const std::string link =
        last ? "" : absl::StrCat(" and ", Milliseconds(alone.links[index]), " on the way on");
    return absl::StrCat("adds ", Milliseconds(alone.stages[index]), link, " to a token");
  }
  const Slowest slowest = SlowestPart(prediction.step);
  if (slowest.stage != index) {
    return absl::StrCat(pace, " a step, within the pace of ", PartName(problem, pipeline, slowest));
  }
  if (slowest.link) {
    return absl::StrCat(pace, " a step; its link to ", NameOf(problem, pipeline, index + 1),
                        " sets the pace at ", Milliseconds(slowest.seconds));
  }
  return absl::StrCat("sets the pace at ", pace, " a step");
}

std::string LeftOutReason(const PlanningProblem& problem, const Pipeline& pipeline, int device,
                          const Prediction& prediction, bool best) {
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
  const std::string unused = best ? "would not help: " : "not used in the best plan found: ";
  const std::string even_one = absl::StrCat("one layer takes ", Milliseconds(one_layer));
  if (latency) {
    return absl::StrCat(unused, "even ", even_one, " there and ", Milliseconds(link),
                        " more on the way, all of them take ",
                        Milliseconds(prediction.token_seconds), " without it");
  }
  const std::string now = absl::StrCat(", the slowest part now is ",
                                       PartName(problem, pipeline, SlowestPart(prediction.step)));
  const double period = prediction.step.period();
  if (link > period) {
    return absl::StrCat("would only make a slower part: a step takes ", Milliseconds(link),
                        " on the way to it or from it", now);
  }
  if (one_layer > period) {
    return absl::StrCat("would only make a slower part: even ", even_one, " a step there", now);
  }
  if (best) return absl::StrCat(unused, "no plan that uses it gives more tokens/s");
  return absl::StrCat(unused, even_one, " a step there", now);
}

}  // namespace layercake
