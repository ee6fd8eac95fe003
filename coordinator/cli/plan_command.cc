#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/model/model_size.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/output.h"
#include "coordinator/fleet/cards.h"
#include "coordinator/fleet/cluster_file.h"
#include "coordinator/fleet/device_flag.h"
#include "coordinator/options/plan_flags.h"
#include "coordinator/placement/plan_table.h"
#include "coordinator/placement/planner.h"

namespace layercake {
namespace {

constexpr char kLive[] = "live";

struct PlanFlags {
  std::string model;
  std::string cluster = kLive;
  std::vector<std::string> devices;
  bool list_cards = false;
  v1::PlanOptions options;
};

absl::StatusOr<Fleet> ReadFleet(const PlanFlags& flags) {
  Fleet fleet;
  if (flags.devices.empty()) {
    std::ifstream file(flags.cluster, std::ios::binary);
    if (!file) {
      return absl::NotFoundError(absl::StrCat("cannot read the cluster file ", flags.cluster,
                                              "; --cluster is \"live\" or a file"));
    }
    const std::string text(std::istreambuf_iterator<char>(file), {});
    return ParseClusterFile(text, flags.cluster);
  }
  if (flags.cluster != kLive) {
    return absl::InvalidArgumentError(
        "--device and --cluster both say which devices there are; drop one");
  }
  for (const std::string& text : flags.devices) {
    LC_ASSIGN_OR_RETURN(fleet.devices.emplace_back(), ParseDeviceFlag(text));
  }
  return fleet;
}

absl::StatusOr<v1::Plan> PlanOffline(const PlanFlags& flags) {
  if (flags.model.empty()) {
    return absl::InvalidArgumentError(
        "--device and --cluster FILE plan without a cluster, which needs a --model");
  }
  LC_ASSIGN_OR_RETURN(const Fleet fleet, ReadFleet(flags));
  LC_ASSIGN_OR_RETURN(const SizedModel model, SizeModel(flags.model));
  return MakePlan(model.config, fleet, flags.options, model.name);
}

absl::StatusOr<v1::Plan> PlanLive(const CommonFlags& common, const PlanFlags& flags) {
  const Connection connection(common.address);
  grpc::ClientContext context;
  SetTimeout(context, kCallTimeout);
  if (flags.model.empty()) {
    v1::ClusterStatus status;
    LC_RETURN_IF_ERROR(connection.Explain(
        connection.admin().GetStatus(&context, v1::GetStatusRequest(), &status)));
    if (status.plan().stages_size() == 0) {
      return absl::FailedPreconditionError(
          "no plan is in force; name a model with --model to see what would be");
    }
    return status.plan();
  }
  v1::PlanModelRequest request;
  request.set_model_dir(ModelPath(flags.model));
  *request.mutable_options() = flags.options;
  v1::PlanModelResponse response;
  LC_RETURN_IF_ERROR(
      connection.Explain(connection.admin().PlanModel(&context, request, &response)));
  return response.plan();
}

absl::Status Plan(const CommonFlags& common, const PlanFlags& flags) {
  if (flags.list_cards) {
    std::cout << FormatCards() << std::flush;
    return absl::OkStatus();
  }
  const bool live = flags.devices.empty() && flags.cluster == kLive;
  LC_ASSIGN_OR_RETURN(const v1::Plan plan, live ? PlanLive(common, flags) : PlanOffline(flags));
  std::cout << (common.json ? ToJson(plan) : FormatPlanTable(plan, StyleOfStdout())) << std::flush;
  return absl::OkStatus();
}

}  // namespace

Command AddPlanCommand(CLI::App& app, const CommonFlags& common) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App* plan = app.add_subcommand(
      "plan",
      "Show how a model would be placed on the cluster, or on devices described; without --model, "
      "the plan in force");
  plan->add_option("model,--model", flags->model,
                   "model directory (on the coordinator's host if live) or its config.json; no "
                   "weights are needed")
      ->type_name("DIR|FILE");
  plan->add_option(
          "--cluster", flags->cluster,
          "the workers that have joined (live, the default), or a YAML file that describes "
          "devices and links")
      ->type_name("live|FILE");
  plan->add_option("--device", flags->devices,
                   "plan offline for this device, as in m40=12GB,288GB/s,6.8TFLOPS or "
                   "m40=tesla-m40; repeatable; names beginning with cpu are CPUs")
      ->type_name("NAME=CARD|MEMORY[,...]")
      ->type_size(1)
      ->allow_extra_args(false);
  plan->add_flag("--list-cards", flags->list_cards,
                 "list the cards that --device and --cluster know");
  AddPlanFlags(*plan, &flags->options);
  return {.app = plan, .run = [flags, &common] { return Report(Plan(common, *flags)); }};
}

}  // namespace layercake
