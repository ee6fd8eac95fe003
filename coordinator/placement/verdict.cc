#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "coordinator/placement/problem.h"
#include "coordinator/placement/refusal.h"
#include "coordinator/placement/ways_out.h"

namespace layercake {
namespace {

std::string LayerNames(int first, int count) {
  return count == 1 ? absl::StrCat("layer ", first)
                    : absl::StrCat("layers ", first, "-", first + count - 1);
}

struct Need {
  int64_t weights;
  int64_t kv;
  int64_t workspace;
  int64_t total() const { return weights + kv + workspace; }
};

Need NeedOf(const CostModel& cost, int first, int count) {
  return {.weights = cost.WeightBytes(first, count),
          .kv = cost.BlockBytes(first, count) * cost.context_blocks(),
          .workspace = cost.WorkspaceBytes(first, count)};
}

std::string Describe(const Need& need, const CostModel& cost) {
  return absl::StrCat(FormatBytes(need.total()), " (weights ", FormatBytes(need.weights),
                      ", KV of one sequence of ", cost.limits().max_context_tokens, " tokens ",
                      FormatBytes(need.kv), ", workspace ", FormatBytes(need.workspace), ")");
}

struct Shortfall {
  std::string words;
  int64_t bytes = 0;  // 0: not known as one figure
  std::string worker;
};

// Of the device that lacks least; none when more memory on no single device would do.
Shortfall LeastShortfall(const PlanningProblem& problem, int64_t most) {
  Shortfall least;
  if (problem.selection.devices.size() > kMaxDevicesToProbe) return least;
  for (size_t i = 0; i < problem.selection.devices.size(); ++i) {
    PlanningProblem richer = problem;
    UsableDevice& device = richer.selection.devices[i];
    const int64_t had = device.available_bytes;
    const auto enough = [&](int64_t extra) {
      device.available_bytes = had + extra;
      return Feasible(richer);
    };
    if (!enough(most)) continue;
    const int64_t extra = LeastEnough(most, enough);
    if (least.worker.empty() || extra < least.bytes) {
      least = {.bytes = extra, .worker = device.name};
    }
  }
  return least;
}

Shortfall ManualShortfall(const PlanningProblem& problem) {
  const CostModel cost = problem.cost();
  const absl::StatusOr<Pipeline> pipeline =
      ManualPipeline(cost, problem.selection, problem.options);
  std::vector<std::string> lines;
  Shortfall shortfall;
  for (const StageChoice& stage : pipeline->stages) {
    const UsableDevice& device = problem.selection.devices[stage.device];
    const Need need = NeedOf(cost, stage.first, stage.count);
    const int64_t lacked = need.total() - device.usable_bytes();
    if (lacked <= 0) continue;
    if (lacked > shortfall.bytes) shortfall = {.bytes = lacked, .worker = device.name};
    lines.push_back(absl::StrCat("worker ", device.name, " needs ", Describe(need, cost), " for ",
                                 LayerNames(stage.first, stage.count), " but has ",
                                 FormatBytes(device.usable_bytes()), " to give: short by ",
                                 FormatBytes(lacked)));
  }
  if (lines.size() > kMaxDevicesToProbe) {
    const size_t more = lines.size() - kMaxDevicesToProbe;
    lines.resize(kMaxDevicesToProbe);
    lines.push_back(absl::StrCat("and ", more, " workers more"));
  }
  shortfall.words = absl::StrJoin(lines, "; ");
  return shortfall;
}

int64_t UsableBytes(const PlanningProblem& problem) {
  int64_t usable = 0;
  for (const UsableDevice& device : problem.selection.devices) usable += device.usable_bytes();
  return usable;
}

Shortfall FindShortfall(const PlanningProblem& problem) {
  if (problem.manual()) return ManualShortfall(problem);
  const CostModel cost = problem.cost();
  const Need need = NeedOf(cost, 0, cost.num_layers());
  if (problem.options.replicas() > 1) {
    return {.words = absl::StrCat("each of ", problem.options.replicas(),
                                  " replicas needs at least ", Describe(need, cost),
                                  ", and no division of the workers over them holds "
                                  "that many times that")};
  }
  const int64_t usable = UsableBytes(problem);
  std::vector<std::string> devices;
  for (const UsableDevice& device : problem.selection.devices) {
    if (devices.size() == kMaxDevicesToProbe) {
      devices.push_back("...");
      break;
    }
    devices.push_back(absl::StrCat(device.name, " ", FormatBytes(device.usable_bytes())));
  }
  const std::string text =
      absl::StrCat("it needs at least ", Describe(need, cost), " and the workers have ",
                   FormatBytes(usable), " to give (", absl::StrJoin(devices, ", "), "): ");
  if (usable < need.total()) {
    const int64_t lacked = need.total() - usable;
    return {.words = absl::StrCat(text, "short by ", FormatBytes(lacked), " in total"),
            .bytes = lacked};
  }
  Shortfall least = LeastShortfall(problem, need.total());
  least.words = absl::StrCat(
      text, "enough in total, but no cut of the layers fits each of them",
      least.worker.empty()
          ? ""
          : absl::StrCat(", short by ", FormatBytes(least.bytes), " on ", least.worker));
  return least;
}

}  // namespace

absl::Status DoesNotFit(const PlanningProblem& problem, const ModelConfig& checkpoint,
                        const Fleet& fleet) {
  const Shortfall shortfall = FindShortfall(problem);
  const CostModel cost = problem.cost();
  v1::PlanRefusal refusal;
  refusal.set_model(problem.model_name);
  refusal.set_shortfall(shortfall.words);
  refusal.set_short_bytes(static_cast<uint64_t>(shortfall.bytes));
  refusal.set_short_worker(shortfall.worker);
  refusal.set_needed_bytes(static_cast<uint64_t>(NeedOf(cost, 0, cost.num_layers()).total()));
  refusal.set_usable_bytes(static_cast<uint64_t>(UsableBytes(problem)));
  for (std::string& way : WaysOut(problem, checkpoint, fleet)) {
    refusal.add_ways_out(std::move(way));
  }
  return ToStatus(refusal);
}

}  // namespace layercake
