#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/load_flags.h"
#include "coordinator/cli/plan_source.h"
#include "coordinator/cli/simulation_report.h"
#include "coordinator/simulate/plan_pipelines.h"

namespace layercake {
namespace {

struct SimulateFlags {
  PlanSource source;
  LoadOptions load;
  int max_queue = 1024;
};

absl::Status Simulate(const CommonFlags& common, const SimulateFlags& flags) {
  LC_ASSIGN_OR_RETURN(const PlannedModel planned, PlanWithModel(common, flags.source));
  const int prompt_tokens = flags.load.prompt_tokens.most;
  const int output_tokens = flags.load.output_tokens.most;
  if (prompt_tokens > planned.plan.max_context_tokens() - output_tokens) {
    return absl::InvalidArgumentError(absl::StrCat(prompt_tokens, " prompt and ", output_tokens,
                                                   " output tokens are more than the plan's "
                                                   "context of ",
                                                   planned.plan.max_context_tokens(),
                                                   " tokens; raise --context"));
  }
  LC_ASSIGN_OR_RETURN(const auto pipelines,
                      PipelinesOf(planned.plan, planned.model, planned.fleet, flags.max_queue));
  const SimulationResult result = layercake::Simulate(pipelines, flags.load);
  std::cout << (common.json ? SimulationJson(flags.load, result, planned.plan)
                            : FormatSimulation(flags.load, result, planned.plan))
            << std::flush;
  return absl::OkStatus();
}

}  // namespace

Command AddSimulateCommand(CLI::App& app, const CommonFlags& common) {
  auto flags = std::make_shared<SimulateFlags>();
  CLI::App* simulate = app.add_subcommand(
      "simulate",
      "Show what a plan would do under load: throughput, waits, bubbles; without --model, the plan "
      "in force");
  AddPlanSource(*simulate, &flags->source);
  AddLoadFlags(*simulate, &flags->load);
  simulate->add_option("--max-queue", flags->max_queue, "requests that may wait; more are refused")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  return {.app = simulate,
          .run = [flags, &common] { return Report(Simulate(common, *flags), common.json); }};
}

}  // namespace layercake
