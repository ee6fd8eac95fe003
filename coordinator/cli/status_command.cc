#include <iostream>

#include "common/base/status_macros.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/output.h"
#include "coordinator/cli/status_table.h"

namespace layercake {
namespace {

absl::Status Status(const CommonFlags& common) {
  const Connection connection(common.address);
  grpc::ClientContext context;
  SetTimeout(context, kCallTimeout);
  v1::ClusterStatus status;
  LC_RETURN_IF_ERROR(
      connection.Explain(connection.admin().GetStatus(&context, v1::GetStatusRequest(), &status)));
  std::cout << (common.json ? ToJson(status) : FormatStatus(status)) << std::flush;
  return absl::OkStatus();
}

}  // namespace

Command AddStatusCommand(CLI::App& app, const CommonFlags& common) {
  CLI::App* status = app.add_subcommand("status", "Show the workers, what they hold, and the load");
  return {.app = status, .run = [&common] { return Report(Status(common)); }};
}

}  // namespace layercake
