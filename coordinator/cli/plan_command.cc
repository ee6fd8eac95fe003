#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/model/config.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/device_flag.h"
#include "coordinator/cli/output.h"
#include "coordinator/options/plan_flags.h"
#include "coordinator/placement/plan_table.h"
#include "coordinator/placement/planner.h"

namespace layercake {
namespace {

struct PlanFlags {
  std::string model;
  std::vector<std::string> devices;
  v1::PlanOptions options;
};

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(
        "cannot read ", path.string(), "; --model names a model directory or its config.json"));
  }
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

absl::StatusOr<v1::Plan> PlanOffline(const PlanFlags& flags) {
  if (flags.model.empty()) {
    return absl::InvalidArgumentError("--device plans without a cluster and needs a --model");
  }
  std::filesystem::path path = flags.model;
  if (!absl::EndsWith(flags.model, ".json")) path /= "config.json";
  LC_ASSIGN_OR_RETURN(const std::string config, ReadFile(path));
  LC_ASSIGN_OR_RETURN(const ModelConfig model, ParseModelConfig(config));
  Fleet fleet;
  for (const std::string& text : flags.devices) {
    LC_ASSIGN_OR_RETURN(fleet.devices.emplace_back(), ParseDeviceFlag(text));
  }
  std::error_code error;
  const std::filesystem::path directory = std::filesystem::absolute(path, error).parent_path();
  return MakePlan(model, fleet, flags.options, directory.filename().string());
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
  LC_ASSIGN_OR_RETURN(const v1::Plan plan,
                      flags.devices.empty() ? PlanLive(common, flags) : PlanOffline(flags));
  std::cout << (common.json ? ToJson(plan) : FormatPlanTable(plan, TerminalWidth())) << std::flush;
  return absl::OkStatus();
}

}  // namespace

Command AddPlanCommand(CLI::App& app, const CommonFlags& common) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App* plan = app.add_subcommand(
      "plan",
      "Show how a model would be placed on the cluster, or on devices given; without --model, "
      "the plan in force");
  plan->add_option("model,--model", flags->model,
                   "model directory (on the coordinator's host), or with --device its config.json")
      ->type_name("DIR");
  plan->add_option("--device", flags->devices,
                   "plan offline for this device, as in m40=12GB,288GB/s,6.8TFLOPS; repeatable; "
                   "names beginning with cpu are CPUs")
      ->type_name("NAME=MEMORY[,BANDWIDTH[,FLOPS]]")
      ->type_size(1)
      ->allow_extra_args(false);
  AddPlanFlags(*plan, &flags->options);
  return {.app = plan, .run = [flags, &common] { return Report(Plan(common, *flags)); }};
}

}  // namespace layercake
