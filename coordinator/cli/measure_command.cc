#include <iostream>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/text_table.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/output.h"
#include "coordinator/cli/status_table.h"

namespace layercake {
namespace {

absl::Status Measure(const CommonFlags& common) {
  const Connection connection(common.address);
  grpc::ClientContext context;
  v1::MeasureLinksResponse response;
  LC_RETURN_IF_ERROR(connection.Explain(
      connection.admin().MeasureLinks(&context, v1::MeasureLinksRequest(), &response)));
  if (common.json) {
    std::cout << ToJson(response) << std::flush;
  } else if (response.links().empty() && response.failures().empty()) {
    std::cout << "one worker, no links" << std::endl;
  } else {
    std::cout << FormatLinks(response.links()) << std::flush;
  }
  if (response.failures().empty()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      response.failures_size(), " links could not be measured, the first: ", response.failures(0)));
}

}  // namespace

Command AddMeasureCommand(CLI::App& app, const CommonFlags& common) {
  CLI::App* measure = app.add_subcommand(
      "measure", "Measure the links between workers anew, for plans to come (while nothing runs)");
  return {.app = measure, .run = [&common] { return Report(Measure(common)); }};
}

}  // namespace layercake
