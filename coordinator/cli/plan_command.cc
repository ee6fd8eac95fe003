#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/output.h"
#include "coordinator/cli/plan_source.h"
#include "coordinator/fleet/cards.h"
#include "coordinator/placement/plan_changes.h"
#include "coordinator/placement/plan_table.h"

namespace layercake {
namespace {

struct PlanFlags {
  PlanSource source;
  bool list_cards = false;
};

// What to type to have a plan of `source` loaded.
std::string LoadCommand(const CommonFlags& common, const PlanSource& source) {
  std::vector<std::string> words = {"layercake load --replace"};
  if (common.address != CommonFlags().address) {
    words[0] = absl::StrCat("layercake --address ", common.address, " load --replace");
  }
  if (!source.model.empty()) words.push_back(source.model);
  words.insert(words.end(), source.given_options.begin(), source.given_options.end());
  return absl::StrJoin(words, " ");
}

// Of a plan over live workers, what would change against the one in force; nullopt where there is
// none, or it is another model's.
std::optional<v1::PlanChanges> Changes(const CommonFlags& common, const PlanSource& source,
                                       const LivePlan& live) {
  const v1::ClusterStatus& status = live.status;
  if (status.plan().stages().empty() || status.request().model_dir().empty()) return std::nullopt;
  const std::string command = LoadCommand(common, source);
  if (!live.in_force) {
    if (status.request().model_dir() != ModelPath(source.model)) return std::nullopt;
    return ComparePlans(status.plan(), live.plan, command);
  }
  const absl::StatusOr<v1::Plan> anew = PlanAnew(common, status);
  if (anew.ok()) return ComparePlans(live.plan, *anew, command);
  v1::PlanChanges refused;
  refused.set_refused(std::string(anew.status().message()));
  return refused;
}

// As people read it; "" where there is nothing to say.
std::string ChangesInWords(const LivePlan& live) {
  if (!live.plan.has_changes()) return "";
  const v1::PlanChanges& changes = live.plan.changes();
  const bool other = AnyChange(changes);
  // Predictions alone are no reason to say anything of a plan that is in force.
  if (live.in_force && !other && changes.refused().empty()) return "";
  return absl::StrCat("\n",
                      live.in_force && other
                          ? "By what is free and measured now another plan would be made.\n"
                          : "",
                      FormatPlanChanges(changes, TerminalWidth()));
}

absl::Status PlanOnLiveWorkers(const CommonFlags& common, const PlanSource& source) {
  LC_ASSIGN_OR_RETURN(LivePlan live, PlanLive(common, source));
  if (auto changes = Changes(common, source, live)) {
    *live.plan.mutable_changes() = *std::move(changes);
  }
  std::cout << (common.json ? ToJson(live.plan)
                            : FormatPlanTable(live.plan, StyleOfStdout()) + ChangesInWords(live))
            << std::flush;
  return absl::OkStatus();
}

absl::Status Plan(const CommonFlags& common, const PlanFlags& flags) {
  if (flags.list_cards) {
    std::cout << (common.json ? ToJson(ListCards()) : FormatCards()) << std::flush;
    return absl::OkStatus();
  }
  if (flags.source.live()) return PlanOnLiveWorkers(common, flags.source);
  LC_ASSIGN_OR_RETURN(const PlannedModel planned, PlanWithModel(common, flags.source));
  std::cout << (common.json ? ToJson(planned.plan) : FormatPlanTable(planned.plan, StyleOfStdout()))
            << std::flush;
  return absl::OkStatus();
}

}  // namespace

Command AddPlanCommand(CLI::App& app, const CommonFlags& common) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App* plan = app.add_subcommand(
      "plan",
      "Show how a model would be placed on the cluster, or on devices described; without --model, "
      "the plan in force; and what would change");
  AddPlanSource(*plan, &flags->source);
  plan->add_flag("--list-cards", flags->list_cards,
                 "list the cards that --device and --cluster know");
  return {.app = plan,
          .run = [flags, &common] { return Report(Plan(common, *flags), common.json); }};
}

}  // namespace layercake
