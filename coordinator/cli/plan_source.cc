#include "coordinator/cli/plan_source.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/model/model_size.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/output.h"
#include "coordinator/fleet/cluster_file.h"
#include "coordinator/fleet/device_flag.h"
#include "coordinator/options/plan_flags.h"

namespace layercake {
namespace {

absl::StatusOr<Fleet> ReadFleet(const PlanSource& source) {
  Fleet fleet;
  if (source.devices.empty()) {
    std::error_code error;
    if (std::filesystem::is_directory(source.cluster, error)) {
      return absl::InvalidArgumentError(
          absl::StrCat(source.cluster, " is a directory; --cluster is \"live\" or a file"));
    }
    std::ifstream file(source.cluster, std::ios::binary);
    if (!file) {
      return absl::NotFoundError(absl::StrCat("cannot read the cluster file ", source.cluster,
                                              "; --cluster is \"live\" or a file"));
    }
    const std::string text(std::istreambuf_iterator<char>(file), {});
    return ParseClusterFile(text, source.cluster);
  }
  if (source.cluster != PlanSource().cluster) {
    return absl::InvalidArgumentError(
        "--device and --cluster both say which devices there are; drop one");
  }
  for (const std::string& text : source.devices) {
    LC_ASSIGN_OR_RETURN(fleet.devices.emplace_back(), ParseDeviceFlag(text));
  }
  return fleet;
}

absl::StatusOr<v1::Plan> AskForPlan(const Connection& connection, const std::string& model_dir,
                                    const v1::PlanOptions& options) {
  grpc::ClientContext context;
  SetTimeout(context, kCallTimeout);
  v1::PlanModelRequest request;
  request.set_model_dir(model_dir);
  *request.mutable_options() = options;
  v1::PlanModelResponse response;
  LC_RETURN_IF_ERROR(
      connection.Explain(connection.admin().PlanModel(&context, request, &response)));
  return response.plan();
}

Fleet FleetOf(const v1::ClusterStatus& status) {
  Fleet fleet;
  for (const v1::WorkerStatus& worker : status.workers()) {
    if (worker.state() == v1::WORKER_STATE_LOST) continue;
    fleet.devices.push_back({.name = worker.name(),
                             .host = worker.host(),
                             .device = worker.device(),
                             .profile = worker.profile()});
  }
  const auto is_here = [&fleet](const std::string& name) {
    return std::ranges::any_of(fleet.devices, [&name](const PlannerDevice& device) {
      return device.name == name || device.host == name;
    });
  };
  for (const v1::Link& link : status.links()) {
    if (is_here(link.from()) && is_here(link.to())) fleet.links.push_back(link);
  }
  return fleet;
}

}  // namespace

void AddPlanSource(CLI::App& app, PlanSource* source) {
  app.add_option("model,--model", source->model,
                 "model directory (on the coordinator's host if live) or its config.json; no "
                 "weights are needed")
      ->type_name("DIR|FILE");
  app.add_option("--cluster", source->cluster,
                 "the workers that have joined (live, the default), or a YAML file that describes "
                 "devices and links")
      ->type_name("live|FILE");
  app.add_option("--device", source->devices,
                 "plan offline for this device, as in m40=12GB,288GB/s,6.8TFLOPS or "
                 "m40=tesla-m40; repeatable; names beginning with cpu are CPUs")
      ->type_name("NAME=CARD|MEMORY[,...]")
      ->type_size(1)
      ->allow_extra_args(false);
  AddPlanFlags(app, &source->options);
  app.parse_complete_callback([&app, source] { source->given_options = GivenPlanFlags(app); });
}

absl::StatusOr<LivePlan> PlanLive(const CommonFlags& common, const PlanSource& source) {
  const Connection connection(common.address);
  LivePlan live;
  grpc::ClientContext context;
  SetTimeout(context, kCallTimeout);
  LC_RETURN_IF_ERROR(connection.Explain(
      connection.admin().GetStatus(&context, v1::GetStatusRequest(), &live.status)));
  if (!source.model.empty()) {
    LC_ASSIGN_OR_RETURN(live.plan, AskForPlan(connection, ModelPath(source.model), source.options));
    return live;
  }
  if (live.status.plan().stages().empty()) {
    return absl::FailedPreconditionError(
        "no plan is in force; name a model with --model to see what would be");
  }
  if (!source.given_options.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "without a model there is only the plan in force; to see what ",
        absl::StrJoin(source.given_options, ", "), " would give, add --model ",
        live.status.request().model_dir().empty() ? "DIR" : live.status.request().model_dir()));
  }
  live.plan = live.status.plan();
  live.in_force = true;
  return live;
}

absl::StatusOr<v1::Plan> PlanAnew(const CommonFlags& common, const v1::ClusterStatus& status) {
  return AskForPlan(Connection(common.address), status.request().model_dir(),
                    status.request().options());
}

absl::StatusOr<PlannedModel> PlanWithModel(const CommonFlags& common, const PlanSource& source) {
  PlannedModel planned;
  if (!source.live()) {
    if (source.model.empty()) {
      return absl::InvalidArgumentError(
          "--device and --cluster FILE plan without a cluster, which needs a --model");
    }
    LC_ASSIGN_OR_RETURN(planned.fleet, ReadFleet(source));
    LC_ASSIGN_OR_RETURN(SizedModel model, SizeModel(source.model));
    LC_ASSIGN_OR_RETURN(planned.plan,
                        MakePlan(model.config, planned.fleet, source.options, model.name));
    if (!model.note.empty()) planned.plan.add_notes(model.note);
    planned.model = std::move(model.config);
    return planned;
  }
  LC_ASSIGN_OR_RETURN(LivePlan live, PlanLive(common, source));
  LC_ASSIGN_OR_RETURN(SizedModel model, SizeModel(live.in_force ? live.status.request().model_dir()
                                                                : ModelPath(source.model)));
  planned.model = std::move(model.config);
  planned.fleet = FleetOf(live.status);
  planned.plan = std::move(live.plan);
  return planned;
}

}  // namespace layercake
