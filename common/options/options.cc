#include "common/options/options.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "common/base/bytes.h"
#include "common/base/logging.h"
#include "common/rpc/protocol.h"

namespace layercake {
namespace {

std::string EnvironmentName(const std::string& flag) {
  return absl::StrCat("LAYERCAKE_", absl::AsciiStrToUpper(absl::StrReplaceAll(flag, {{"-", "_"}})));
}

bool InEnvironment(const std::string& flag) {
  const char* value = std::getenv(EnvironmentName(flag).c_str());
  return value != nullptr && *value != '\0';
}

class EnvironmentFirstConfig : public CLI::ConfigTOML {
 public:
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::vector<CLI::ConfigItem> items = CLI::ConfigTOML::from_config(input);
    std::erase_if(items, [](const CLI::ConfigItem& item) { return InEnvironment(item.name); });
    return items;
  }
};

void NameEnvironment(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (!option->get_configurable() || option->get_lnames().empty()) continue;
    if (option->get_envname().empty()) {
      option->envname(EnvironmentName(option->get_lnames().front()));
    }
  }
  for (CLI::App* subcommand : app.get_subcommands([](CLI::App*) { return true; })) {
    NameEnvironment(*subcommand);
  }
}

bool NamesConfig(const std::vector<const char*>& args) {
  return std::any_of(args.begin(), args.end(), [](absl::string_view arg) {
    return arg == "--config" || absl::StartsWith(arg, "--config=");
  });
}

int Mistake(const CLI::App& app, const std::string& message) {
  const std::string words = absl::StrReplaceAll(
      message, {{"\n", " "}, {"At Most 1 required but received ", "takes one value, not "}});
  std::cerr << app.get_name() << ": " << words << " (see " << app.get_name() << " --help)"
            << std::endl;
  return kExitUsage;
}

}  // namespace

std::unique_ptr<CLI::App> MakeApp(const std::string& name, const std::string& description) {
  auto app = std::make_unique<CLI::App>(description, name);
  app->set_version_flag("--version", absl::StrCat(name, " ", kVersion));
  app->config_formatter(std::make_shared<EnvironmentFirstConfig>());
  app->set_config("--config", "", "Read flags from this file (Env:LAYERCAKE_CONFIG)")
      ->type_name("FILE");
  app->allow_config_extras(CLI::config_extras_mode::error);
  app->add_option_function<std::string>("--log-level", &SetLogLevel, "Least severity to log")
      ->check(CLI::IsMember({"info", "warning", "error"}))
      ->default_str("info");
  return app;
}

CLI::Option* AddBytesOption(CLI::App& app, const std::string& flag, int64_t* bytes,
                            const std::string& help) {
  const auto parse = [flag, bytes](const std::string& text) {
    const auto parsed = ParseBytes(text);
    if (!parsed.ok()) throw CLI::ValidationError(flag, std::string(parsed.status().message()));
    *bytes = *parsed;
  };
  return app.add_option_function<std::string>(flag, parse, help)->type_name("SIZE");
}

std::optional<int> ParseCommandLine(CLI::App& app, int argc, const char* const* argv) {
  try {
    NameEnvironment(app);
    std::vector<const char*> args(argv, argv + argc);
    if (InEnvironment("config") && app.get_config_ptr() != nullptr && !NamesConfig(args)) {
      const char* const file = std::getenv("LAYERCAKE_CONFIG");
      std::error_code error;
      if (!std::filesystem::is_regular_file(file, error)) {
        return Mistake(app, absl::StrCat("LAYERCAKE_CONFIG: there is no file ", file));
      }
      args.insert(args.begin() + 1, {"--config", file});
    }
    app.parse(static_cast<int>(args.size()), args.data());
    return std::nullopt;
  } catch (const CLI::Success& asked) {
    return app.exit(asked, std::cout, std::cerr);
  } catch (const CLI::ParseError& error) {
    return Mistake(app, error.what());
  } catch (const std::exception& error) {
    return Mistake(app, error.what());
  }
}

}  // namespace layercake
