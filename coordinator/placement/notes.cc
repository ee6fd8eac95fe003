#include "coordinator/placement/notes.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/text_table.h"
#include "common/model/weight_type.h"
#include "coordinator/placement/fastest.h"

namespace layercake {
namespace {

constexpr size_t kMostNamed = 8;

std::string Names(std::vector<std::string> names) {
  const size_t more = names.size() > kMostNamed ? names.size() - kMostNamed : 0;
  names.resize(names.size() - more);
  return absl::StrCat(absl::StrJoin(names, ", "),
                      more > 0 ? absl::StrCat(" and ", more, " more") : "");
}

// Which of its speeds nobody gave or measured, and what is reckoned with; "" where none.
std::string Assumed(const PlannerDevice& device) {
  const v1::DeviceProfile& profile = device.profile;
  const DeviceSpeed speed = SpeedOf(device.device, profile);
  std::vector<std::string> figures;
  if (!(profile.bandwidth_bytes_per_second() > 0) && profile.weights().empty()) {
    figures.push_back(absl::StrCat(FormatFigure(speed.bytes_per_second / 1e9), " GB/s"));
  }
  if (!(profile.flops_per_second() > 0) && profile.weights().empty()) {
    figures.push_back(absl::StrCat(FormatFigure(speed.flops_per_second / 1e12), " TFLOPS"));
  }
  return absl::StrJoin(figures, " and ");
}

std::string SpeedNote(const Fleet& fleet, const v1::Plan& plan) {
  std::set<std::string> used;
  for (const v1::StagePlan& stage : plan.stages()) used.insert(stage.worker());
  std::map<std::string, std::vector<std::string>> names_by_figures;
  for (const PlannerDevice& device : fleet.devices) {
    if (!used.contains(device.name)) continue;
    const std::string figures = Assumed(device);
    if (!figures.empty()) names_by_figures[figures].push_back(device.name);
  }
  std::vector<std::string> parts;
  for (const auto& [figures, names] : names_by_figures) {
    parts.push_back(absl::StrCat(figures, " (", Names(names), ")"));
  }
  if (parts.empty()) return "";
  return absl::StrCat("Speed assumed, for none was given or measured: ", absl::StrJoin(parts, "; "),
                      ".");
}

// The batch is an aim, the context a promise.
std::string BatchNote(const PlanningProblem& problem, const v1::Plan& plan) {
  const int64_t batch = problem.options.batch_sequences();
  if (batch == 0) return "";
  const CostModel cost = problem.cost();
  int64_t held = std::numeric_limits<int64_t>::max();
  for (const v1::StagePlan& stage : plan.stages()) {
    held = std::min(held, stage.num_blocks() / cost.context_blocks());
  }
  if (held >= batch) return "";
  return absl::StrCat("KV holds ", held, " of the ", batch,
                      " sequences of --batch at the context of ", problem.limits.max_context_tokens,
                      " tokens", plan.num_replicas() > 1 ? ", in a replica" : "",
                      "; as many run together as their tokens fit.");
}

// Part of the gap, or all, may be what more replicas would give.
std::string ReplicaNote(const PlanningProblem& problem, const v1::Plan& plan) {
  const double gap = plan.optimality_gap();
  const bool several = problem.options.replicas() == 0 && !problem.selection.in_order &&
                       problem.options.objective() == v1::PlanOptions::OBJECTIVE_THROUGHPUT;
  if (!several || gap <= 0 || gap > kLeastGain) return "";
  return absl::StrFormat(
      "More replicas may be what is better: fewer are taken where they come within %.0f%%.",
      kLeastGain * 100);
}

std::string LoadNote(const PlanningProblem& problem, const ModelConfig& checkpoint) {
  absl::Status status = CheckRunnable(checkpoint);
  if (status.ok()) status = CheckMakeable(checkpoint, problem.options.weight_type());
  if (status.ok()) return "";
  return absl::StrCat("Workers cannot load this: ", std::string(status.message()), ".");
}

}  // namespace

void AddNotes(const PlanningProblem& problem, const ModelConfig& checkpoint, const Fleet& fleet,
              v1::Plan& plan) {
  for (const std::string& note : {ReplicaNote(problem, plan), LoadNote(problem, checkpoint),
                                  BatchNote(problem, plan), SpeedNote(fleet, plan)}) {
    if (!note.empty()) plan.add_notes(note);
  }
}

}  // namespace layercake
