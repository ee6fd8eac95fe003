#include <vector>

#include "common/options/options.h"
#include "coordinator/cli/command.h"

namespace layercake {

int RunCommandLine(int argc, const char* const* argv) {
  CommonFlags common;
  const auto app = MakeApp("layercake", "Serves a language model across the devices you have.");
  app->require_subcommand(1);
  app->fallthrough();
  app->add_option("--address", common.address, "host:port of the coordinator")
      ->capture_default_str();
  app->add_option_function<std::string>(
         "-o,--output", [&common](const std::string& format) { common.json = format == "json"; },
         "table for people or json for programs")
      ->check(CLI::IsMember({"table", "json"}))
      ->default_str("table");

  const std::vector<Command> commands = {
      AddServeCommand(*app, common),    AddRunCommand(*app, common),
      AddChatCommand(*app, common),     AddPlanCommand(*app, common),
      AddStatusCommand(*app, common),   AddLoadCommand(*app, common),
      AddUnloadCommand(*app, common),   AddDrainCommand(*app, common),
      AddTokenizeCommand(*app, common), AddBenchCommand(*app, common),
      AddMeasureCommand(*app, common),  AddSimulateCommand(*app, common)};
  for (const Command& command : commands) command.app->fallthrough();
  if (const auto code = ParseCommandLine(*app, argc, argv)) return *code;
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return kExitUsage;
}

}  // namespace layercake
