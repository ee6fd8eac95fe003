// load, unload and drain: what an operator does to a running cluster.

#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/load_progress.h"
#include "coordinator/cli/output.h"
#include "coordinator/options/plan_flags.h"
#include "coordinator/placement/plan_table.h"

namespace layercake {
namespace {

// What the model in force was loaded by.
absl::StatusOr<v1::LoadModelRequest> RequestInForce(const Connection& connection) {
  grpc::ClientContext context;
  SetTimeout(context, kCallTimeout);
  v1::ClusterStatus status;
  LC_RETURN_IF_ERROR(
      connection.Explain(connection.admin().GetStatus(&context, v1::GetStatusRequest(), &status)));
  if (!status.request().model_dir().empty()) return status.request();
  return absl::FailedPreconditionError("no model is loaded; name one to load");
}

// What the model in force was loaded by, to be placed anew. `given`: flags that would change that.
absl::StatusOr<v1::LoadModelRequest> LoadedAnew(const Connection& connection, bool replace,
                                                const std::vector<std::string>& given) {
  if (!replace) {
    return absl::InvalidArgumentError(
        "name a model directory, or give --replace to place the loaded model anew");
  }
  LC_ASSIGN_OR_RETURN(v1::LoadModelRequest request, RequestInForce(connection));
  if (given.empty()) return request;
  return absl::InvalidArgumentError(absl::StrCat(
      "--replace without a model keeps the flags that it was loaded by; to load it by others, name "
      "it: layercake load --replace ",
      request.model_dir(), " ", absl::StrJoin(given, " ")));
}

absl::Status Load(const CommonFlags& common, v1::LoadModelRequest request, bool replace,
                  const std::vector<std::string>& given) {
  const Connection connection(common.address);
  if (request.model_dir().empty()) {
    LC_ASSIGN_OR_RETURN(request, LoadedAnew(connection, replace, given));
  }
  request.set_model_dir(ModelPath(request.model_dir()));
  request.set_replace(replace);
  grpc::ClientContext context;
  LC_ASSIGN_OR_RETURN(
      const v1::Plan plan,
      LoadModel(connection, context, request, IsTerminal(STDERR_FILENO) ? &std::cerr : nullptr));
  std::cout << (common.json ? ToJson(plan) : FormatPlanTable(plan, StyleOfStdout())) << std::flush;
  return absl::OkStatus();
}

absl::Status Unload(const CommonFlags& common) {
  const Connection connection(common.address);
  grpc::ClientContext context;
  SetTimeout(context, kCallTimeout);
  v1::UnloadModelResponse response;
  LC_RETURN_IF_ERROR(connection.Explain(
      connection.admin().UnloadModel(&context, v1::UnloadModelRequest(), &response)));
  std::cout << (common.json ? ToJson(response) : "unloaded\n") << std::flush;
  return absl::OkStatus();
}

struct DrainFlags {
  double timeout_seconds = -1;
  bool resume = false;
};

absl::Status Drain(const CommonFlags& common, const DrainFlags& flags) {
  const Connection connection(common.address);
  grpc::ClientContext context;
  v1::DrainRequest request;
  request.set_resume(flags.resume);
  if (flags.timeout_seconds >= 0) {
    const absl::Duration timeout = absl::Seconds(flags.timeout_seconds);
    request.mutable_timeout()->set_seconds(absl::ToInt64Seconds(timeout));
    request.mutable_timeout()->set_nanos(static_cast<int32_t>(
        absl::ToInt64Nanoseconds(timeout - absl::Seconds(absl::ToInt64Seconds(timeout)))));
  }
  v1::DrainResponse response;
  LC_RETURN_IF_ERROR(connection.Explain(connection.admin().Drain(&context, request, &response)));
  if (common.json) {
    std::cout << ToJson(response) << std::flush;
  } else if (flags.resume) {
    std::cout << "taking requests again" << std::endl;
  } else if (response.remaining_sequences() == 0) {
    std::cout << "drained; `layercake drain --resume` takes requests again" << std::endl;
  }
  if (response.remaining_sequences() == 0) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat(response.remaining_sequences(), " sequences still run; new ones are refused"));
}

}  // namespace

Command AddLoadCommand(CLI::App& app, const CommonFlags& common) {
  struct Flags {
    v1::LoadModelRequest request;
    bool replace = false;
  };
  auto flags = std::make_shared<Flags>();
  v1::LoadModelRequest* request = &flags->request;
  CLI::App* load =
      app.add_subcommand("load", "Load a model on the running cluster, in place of the one there");
  load->add_option("model", *request->mutable_model_dir(),
                   "Hugging Face model directory, on the coordinator's and the workers' hosts")
      ->type_name("DIR");
  CLI::Option* name = load->add_option("--model-name", *request->mutable_name(),
                                       "what clients call it (default: the directory's name)");
  load->add_flag("--replace", flags->replace,
                 "plan and load anew even if this model is loaded with these flags; without a "
                 "model, the loaded one with its own");
  AddPlanFlags(*load, request->mutable_options());
  const auto run = [flags, load, name, &common] {
    std::vector<std::string> given = GivenPlanFlags(*load);
    if (name->count() > 0) given.push_back(absl::StrCat("--model-name ", flags->request.name()));
    return Report(Load(common, flags->request, flags->replace, given), common.json);
  };
  return {.app = load, .run = run};
}

Command AddUnloadCommand(CLI::App& app, const CommonFlags& common) {
  CLI::App* unload =
      app.add_subcommand("unload", "End running requests, unload the model and free the devices");
  return {.app = unload, .run = [&common] { return Report(Unload(common)); }};
}

Command AddDrainCommand(CLI::App& app, const CommonFlags& common) {
  auto flags = std::make_shared<DrainFlags>();
  CLI::App* drain = app.add_subcommand(
      "drain", "Take no new requests and wait until the running ones have ended");
  drain->add_option("--timeout", flags->timeout_seconds, "seconds to wait at most")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 31'536'000.0));
  drain->add_flag("--resume", flags->resume, "take requests again");
  return {.app = drain, .run = [flags, &common] { return Report(Drain(common, *flags)); }};
}

}  // namespace layercake
