#pragma once

// What the command lines of all programs share: version, config file, environment, exit codes.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace layercake {

// How a program ends.
enum ExitCode {
  kExitOk = 0,
  kExitFailure = 1,       // it failed while running
  kExitUsage = 2,         // bad flags, environment or config file
  kExitAddress = 3,       // cannot listen where it was told to
  kExitRefused = 4,       // a peer refused it: another version, a name that is taken
  kExitUnsupported = 5,   // this build or host cannot do what was asked
  kExitNoDriver = 6,      // a GPU was asked for, and there is no driver
  kExitOldDriver = 7,     // the driver is older than the CUDA that this program was built with
  kExitNoDevice = 8,      // there is no such GPU, or it is not visible
  kExitDeviceBusy = 9,    // the GPU is in exclusive use by another process
  kExitDeviceTaken = 10,  // another worker has the GPU
  kExitNoMemory = 11,     // the device has too little free memory to begin
  kExitDeviceLost = 12,   // the device failed; a new process may find it well
};

// A command line with --version, --help, --config FILE (TOML or INI; keys are flags without dashes,
// subcommands are sections) and --log-level info|warning|error. `name` is the program's.
std::unique_ptr<CLI::App> MakeApp(const std::string& name, const std::string& description);

// Adds an option that takes a size like 3GiB and stores bytes in `*bytes`, which must outlive
// parsing. Bad values end parsing with words.
CLI::Option* AddBytesOption(CLI::App& app, const std::string& flag, int64_t* bytes,
                            const std::string& help);

// Call after all options and subcommands are added. Parses; the command line wins over the
// environment (LAYERCAKE_<FLAG>, dashes as underscores), which wins over the config file. Returns
// the code to exit with after help, version or a mistake (explained on stderr in one line), or
// nothing: go on.
std::optional<int> ParseCommandLine(CLI::App& app, int argc, const char* const* argv);

}  // namespace layercake
