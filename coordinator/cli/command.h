#pragma once

// How subcommands are made: each has a file of its own with a function that adds its flags and
// returns what to run when it was chosen.

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace layercake {

// Flags of every subcommand.
struct CommonFlags {
  std::string address = "127.0.0.1:50051";  // of the coordinator
  bool json = false;                        // -o json: protobuf JSON on stdout, for programs
};

struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;  // returns the exit code; CommonFlags and its own are parsed by then
};

// `common` must outlive the commands.
Command AddServeCommand(CLI::App& app, const CommonFlags& common);
Command AddRunCommand(CLI::App& app, const CommonFlags& common);
Command AddChatCommand(CLI::App& app, const CommonFlags& common);
Command AddPlanCommand(CLI::App& app, const CommonFlags& common);
Command AddStatusCommand(CLI::App& app, const CommonFlags& common);
Command AddLoadCommand(CLI::App& app, const CommonFlags& common);
Command AddUnloadCommand(CLI::App& app, const CommonFlags& common);
Command AddDrainCommand(CLI::App& app, const CommonFlags& common);
Command AddTokenizeCommand(CLI::App& app, const CommonFlags& common);
Command AddBenchCommand(CLI::App& app, const CommonFlags& common);
Command AddMeasureCommand(CLI::App& app, const CommonFlags& common);
Command AddSimulateCommand(CLI::App& app, const CommonFlags& common);

// The whole program: parses, runs the subcommand, returns the exit code.
int RunCommandLine(int argc, const char* const* argv);

}  // namespace layercake
