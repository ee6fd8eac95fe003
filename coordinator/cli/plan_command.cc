#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
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

// Of a plan over live workers, what would change against the one in force; empty where there is
// none, or it is another model's.
std::string Changes(const CommonFlags& common, const PlanSource& source, const LivePlan& live) {
  const v1::ClusterStatus& status = live.status;
  if (status.plan().stages().empty() || status.request().model_dir().empty()) return "";
  if (!live.in_force) {
    if (status.request().model_dir() != ModelPath(source.model)) return "";
    return FormatPlanChanges(
        ComparePlans(status.plan(), live.plan),
        absl::StrCat("layercake load --replace ", source.model, " and the flags given here"),
        TerminalWidth());
  }
  const absl::StatusOr<v1::Plan> anew = PlanAnew(common, status);
  if (!anew.ok()) {
    return absl::StrCat("Planned anew it would be refused: ", anew.status().message(), "\n");
  }
  const PlanChanges changes = ComparePlans(live.plan, *anew);
  // Predictions alone are no reason to say anything of a plan that is in force.
  if (!changes.any()) return "";
  return absl::StrCat("By what is free and measured now another plan would be made.\n",
                      FormatPlanChanges(changes, "layercake load --replace", TerminalWidth()));
}

absl::Status PlanOnLiveWorkers(const CommonFlags& common, const PlanSource& source) {
  LC_ASSIGN_OR_RETURN(const LivePlan live, PlanLive(common, source));
  if (common.json) {
    std::cout << ToJson(live.plan) << std::flush;
    return absl::OkStatus();
  }
  const std::string changes = Changes(common, source, live);
  std::cout << FormatPlanTable(live.plan, StyleOfStdout()) << (changes.empty() ? "" : "\n")
            << changes << std::flush;
  return absl::OkStatus();
}

absl::Status Plan(const CommonFlags& common, const PlanFlags& flags) {
  if (flags.list_cards) {
    std::cout << FormatCards() << std::flush;
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
  return {.app = plan, .run = [flags, &common] { return Report(Plan(common, *flags)); }};
}

}  // namespace layercake
