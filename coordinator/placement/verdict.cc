#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "coordinator/placement/problem.h"

namespace layercake {
namespace {

// Memory that would be enough is searched to this grain.
constexpr int64_t kGrainBytes = int64_t{1} << 20;
// Beyond this many devices the search for the one that is short would take too long to be worth it.
constexpr size_t kMaxDevicesToProbe = 16;

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

// The least bytes, in grains, for which `feasible` holds; `most` if it does not hold below.
template <typename Predicate>
int64_t LeastBytes(int64_t most, Predicate feasible) {
  int64_t low = 1;
  int64_t high = most / kGrainBytes + 1;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (feasible(middle * kGrainBytes)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return high * kGrainBytes;
}

// "short by ... on p106" for the device that lacks least; "" when more memory on no single device
// would do.
std::string LeastShortfall(const PlanningProblem& problem, int64_t most) {
  if (problem.selection.devices.size() > kMaxDevicesToProbe) return "";
  std::string name;
  int64_t least = 0;
  for (size_t i = 0; i < problem.selection.devices.size(); ++i) {
    PlanningProblem richer = problem;
    UsableDevice& device = richer.selection.devices[i];
    const int64_t had = device.available_bytes;
    const auto enough = [&](int64_t extra) {
      device.available_bytes = had + extra;
      return Feasible(richer);
    };
    if (!enough(most)) continue;
    const int64_t extra = LeastBytes(most, enough);
    if (name.empty() || extra < least) {
      name = device.name;
      least = extra;
    }
  }
  return name.empty() ? "" : absl::StrCat("short by ", FormatBytes(least), " on ", name);
}

std::string ManualShortfalls(const PlanningProblem& problem) {
  const CostModel cost = problem.cost();
  const absl::StatusOr<Pipeline> pipeline =
      ManualPipeline(cost, problem.selection, problem.options);
  std::vector<std::string> lines;
  for (const StageChoice& stage : pipeline->stages) {
    const UsableDevice& device = problem.selection.devices[stage.device];
    const Need need = NeedOf(cost, stage.first, stage.count);
    if (need.total() <= device.usable_bytes()) continue;
    lines.push_back(absl::StrCat("worker ", device.name, " needs ", Describe(need, cost), " for ",
                                 LayerNames(stage.first, stage.count), " but has ",
                                 FormatBytes(device.usable_bytes()), " to give: short by ",
                                 FormatBytes(need.total() - device.usable_bytes())));
  }
  return absl::StrJoin(lines, "; ");
}

std::string Shortfall(const PlanningProblem& problem) {
  if (problem.manual()) return ManualShortfalls(problem);
  const CostModel cost = problem.cost();
  const Need need = NeedOf(cost, 0, cost.num_layers());
  if (problem.options.replicas() > 1) {
    return absl::StrCat("each of ", problem.options.replicas(), " replicas needs at least ",
                        Describe(need, cost),
                        ", and no division of the workers over them holds "
                        "that many times that");
  }
  int64_t usable = 0;
  std::vector<std::string> devices;
  for (const UsableDevice& device : problem.selection.devices) {
    usable += device.usable_bytes();
    if (devices.size() < kMaxDevicesToProbe) {
      devices.push_back(absl::StrCat(device.name, " ", FormatBytes(device.usable_bytes())));
    }
  }
  if (devices.size() < problem.selection.devices.size()) devices.push_back("...");
  std::string text =
      absl::StrCat("it needs at least ", Describe(need, cost), " and the workers have ",
                   FormatBytes(usable), " to give (", absl::StrJoin(devices, ", "), "): ");
  if (usable < need.total()) {
    return absl::StrCat(text, "short by ", FormatBytes(need.total() - usable), " in total");
  }
  const std::string where = LeastShortfall(problem, need.total());
  return absl::StrCat(text, "enough in total, but no cut of the layers fits each of them",
                      where.empty() ? "" : ", ", where);
}

// One more device, as large as need be, after all others or (the order is free) anywhere.
std::string AnotherDevice(const PlanningProblem& problem) {
  PlanningProblem larger = problem;
  if (problem.manual() || problem.selection.devices.size() > kMaxDevicesToProbe) return "";
  larger.selection.devices.emplace_back();
  UsableDevice& device = larger.selection.devices.back();
  device.speed = problem.selection.devices.front().speed;
  device.crowded_speed = problem.selection.devices.front().crowded_speed;
  const auto enough = [&](int64_t bytes) {
    device.available_bytes = bytes;
    return Feasible(larger);
  };
  const CostModel cost = problem.cost();
  const int64_t most = NeedOf(cost, 0, cost.num_layers()).total();
  return absl::StrCat("one more worker with ", FormatBytes(LeastBytes(most, enough)),
                      " to give beside its reserve");
}

// As many replicas, fewer than were asked for, as fit; 0: not even one.
int MostReplicas(const PlanningProblem& problem) {
  PlanningProblem fewer = problem;
  int low = 0;
  int high = problem.options.replicas() - 1;
  while (low < high) {
    const int replicas = low + (high - low + 1) / 2;
    fewer.options.set_replicas(replicas);
    if (Feasible(fewer)) {
      low = replicas;
    } else {
      high = replicas - 1;
    }
  }
  return low;
}

std::vector<std::string> WaysOut(const PlanningProblem& problem,
                                 const PlanningProblem& without_caps) {
  std::vector<std::string> ways;
  if (const int64_t context = LargestFeasibleContext(problem); context > 0) {
    ways.push_back(absl::StrCat("--context ", context));
  }
  const auto try_change = [&](const std::string& words, auto change) {
    PlanningProblem changed = problem;
    change(changed);
    if (Feasible(changed)) ways.push_back(words);
  };
  if (problem.options.replicas() > 1) {
    if (const int most = MostReplicas(problem); most > 0) {
      ways.push_back(absl::StrCat("--replicas ", most));
    }
  }
  if (problem.limits.max_step_tokens > 32) {
    try_change("--step-tokens 32 (with --batch 1)", [](PlanningProblem& changed) {
      changed.limits.max_step_tokens = 32;
      changed.limits.max_batch_sequences = 1;
    });
  }
  if (problem.limits.kv_dtype == DType::kF32) {
    try_change("--kv-type f16",
               [](PlanningProblem& changed) { changed.limits.kv_dtype = DType::kF16; });
  }
  if (problem.manual()) {
    try_change("--policy auto", [](PlanningProblem& changed) {
      changed.options.set_policy(v1::PlanOptions::POLICY_AUTO);
      changed.selection.in_order = false;
    });
  } else if (problem.options.order_size() > 0) {
    try_change("another --order",
               [](PlanningProblem& changed) { changed.selection.in_order = false; });
  }
  if (Feasible(without_caps)) {
    ways.push_back("higher memory caps (--memory, --max-memory), where that much is free");
  }
  if (const std::string more = AnotherDevice(problem); !more.empty()) ways.push_back(more);
  return ways;
}

}  // namespace

absl::Status DoesNotFit(const PlanningProblem& problem, const PlanningProblem& without_caps) {
  const std::vector<std::string> ways = WaysOut(problem, without_caps);
  return absl::ResourceExhaustedError(absl::StrCat(
      problem.model_name, " does not fit: ", Shortfall(problem), ". ",
      ways.empty()
          ? "No single change would make it fit; free memory or use a smaller model."
          : absl::StrCat("Any of these would make it fit: ", absl::StrJoin(ways, "; "), ".")));
}

}  // namespace layercake
