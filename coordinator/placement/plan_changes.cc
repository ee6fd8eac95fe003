#include "coordinator/placement/plan_changes.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/text_table.h"

namespace layercake {
namespace {

struct Holding {
  int first = 0;
  int count = 0;
  int replica = 0;

  bool operator==(const Holding&) const = default;
};

std::map<std::string, Holding> HoldingsOf(const v1::Plan& plan) {
  std::map<std::string, Holding> holdings;
  for (const v1::StagePlan& stage : plan.stages()) {
    holdings[stage.worker()] = {stage.first_layer(), stage.num_layers(), stage.replica()};
  }
  return holdings;
}

std::string Layers(const Holding& holding, bool say_replica) {
  const std::string replica =
      say_replica ? absl::StrCat(" of replica ", holding.replica) : std::string();
  if (holding.count == 1) return absl::StrCat("layer ", holding.first, replica);
  return absl::StrCat("layers ", holding.first, "-", holding.first + holding.count - 1, replica);
}

// Of all replicas together.
int64_t BlocksOf(const v1::Plan& plan) {
  int64_t blocks = 0;
  for (const v1::StagePlan& stage : plan.stages()) {
    if (stage.first_layer() == 0) blocks += stage.num_blocks();
  }
  return blocks;
}

template <typename Value>
void AddRoom(absl::string_view what, Value before, Value after, v1::PlanChanges& changes) {
  if (before != after) changes.add_room(absl::StrCat(what, " ", before, " -> ", after));
}

// "10.0 -> 12.0"; one figure where both read the same.
std::string FromTo(double before, double after) {
  const std::string from = FormatFigure(before);
  const std::string to = FormatFigure(after);
  return from == to ? to : absl::StrCat(from, " -> ", to);
}

std::string GainOf(const v1::Plan& in_force, const v1::Plan& proposed) {
  const double before = in_force.predicted_tokens_per_second();
  const double after = proposed.predicted_tokens_per_second();
  const double percent = before > 0 ? 100 * (after / before - 1) : 0;
  return absl::StrCat(
      "predicted ", FromTo(before, after), " tokens/s with all stages busy",
      std::abs(percent) >= 0.05 ? absl::StrFormat(" (%+.1f%%)", percent) : "", ", ",
      FromTo(1e3 * in_force.predicted_token_seconds(), 1e3 * proposed.predicted_token_seconds()),
      " ms a token for one sequence alone");
}

}  // namespace

v1::PlanChanges ComparePlans(const v1::Plan& in_force, const v1::Plan& proposed,
                             const std::string& command) {
  v1::PlanChanges changes;
  const auto before = HoldingsOf(in_force);
  const auto after = HoldingsOf(proposed);
  const bool replicas = std::max(in_force.num_replicas(), proposed.num_replicas()) > 1;
  for (const v1::StagePlan& stage : proposed.stages()) {
    const Holding& holding = after.at(stage.worker());
    const auto held = before.find(stage.worker());
    if (held == before.end()) {
      changes.add_moves(absl::StrCat(stage.worker(), ": joins with ", Layers(holding, replicas)));
    } else if (held->second != holding) {
      changes.add_moves(absl::StrCat(stage.worker(), ": ", Layers(held->second, replicas), " -> ",
                                     Layers(holding, replicas)));
    }
  }
  for (const auto& [worker, holding] : before) {
    if (after.contains(worker)) continue;
    changes.add_moves(absl::StrCat(worker, ": gives up ", Layers(holding, replicas)));
  }
  AddRoom("context", in_force.max_context_tokens(), proposed.max_context_tokens(), changes);
  AddRoom("KV blocks", BlocksOf(in_force), BlocksOf(proposed), changes);
  AddRoom("sequences a step", in_force.max_batch_sequences(), proposed.max_batch_sequences(),
          changes);
  AddRoom("tokens a step", in_force.max_step_tokens(), proposed.max_step_tokens(), changes);
  AddRoom("replicas", std::max(1, in_force.num_replicas()), std::max(1, proposed.num_replicas()),
          changes);
  changes.set_gain(GainOf(in_force, proposed));
  if (AnyChange(changes)) changes.set_command(command);
  return changes;
}

bool AnyChange(const v1::PlanChanges& changes) {
  return changes.moves_size() > 0 || changes.room_size() > 0;
}

std::string FormatPlanChanges(const v1::PlanChanges& changes, int width) {
  const size_t columns = static_cast<size_t>(std::max(width, 60));
  if (!changes.refused().empty()) {
    return WrapText("", absl::StrCat("Planned anew it would be refused: ", changes.refused()),
                    columns);
  }
  if (!AnyChange(changes)) {
    return WrapText("", absl::StrCat("It is the plan in force: ", changes.gain(), "."), columns);
  }
  std::string out = "Against the plan in force:\n";
  for (const auto* sentences : {&changes.moves(), &changes.room()}) {
    for (const std::string& sentence : *sentences) out += WrapText("  ", sentence, columns);
  }
  if (changes.moves().empty()) out += "  every layer stays where it is\n";
  out += WrapText("  ", changes.gain(), columns);
  return absl::StrCat(
      out, "Nothing changes until you say so (running requests end): ", changes.command(), "\n");
}

}  // namespace layercake
