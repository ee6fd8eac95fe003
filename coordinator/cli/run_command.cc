#include <unistd.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/generation.h"
#include "coordinator/cli/generation_flags.h"
#include "coordinator/cli/output.h"

namespace layercake {
namespace {

struct RunFlags {
  std::string prompt;
  std::string file;
  bool stats = false;
  v1::GenerateRequest request;
};

std::string ReadAll(std::istream& input) {
  return std::string(std::istreambuf_iterator<char>(input), std::istreambuf_iterator<char>());
}

absl::StatusOr<std::string> ReadPrompt(const RunFlags& flags) {
  if (!flags.prompt.empty() && !flags.file.empty()) {
    return absl::InvalidArgumentError("give a prompt or --file, not both");
  }
  if (flags.prompt == "-" || (flags.prompt.empty() && flags.file.empty())) {
    if (flags.prompt.empty() && IsTerminal(STDIN_FILENO)) {
      return absl::InvalidArgumentError(
          "no prompt; write it after `run`, name a --file, or pipe it in");
    }
    return ReadAll(std::cin);
  }
  if (flags.file.empty()) return flags.prompt;
  std::ifstream file(flags.file, std::ios::binary);
  std::string text = file ? ReadAll(file) : "";
  if (file.bad() || !file.is_open()) {
    return absl::NotFoundError(absl::StrCat("cannot read ", flags.file));
  }
  return text;
}

absl::Status Run(const CommonFlags& common, RunFlags& flags) {
  LC_ASSIGN_OR_RETURN(*flags.request.mutable_text(), ReadPrompt(flags));
  const Connection connection(common.address);
  grpc::ClientContext context;
  if (common.json) {
    v1::GenerateResponse response;
    LC_RETURN_IF_ERROR(connection.Explain(
        connection.inference().GenerateUnary(&context, flags.request, &response)));
    std::cout << ToJson(response) << std::flush;
    return absl::OkStatus();
  }
  const auto reader = connection.inference().Generate(&context, flags.request);
  const v1::GenerateResponse response = ShowStream(*reader, flags.request.options().n(), std::cout);
  LC_RETURN_IF_ERROR(connection.Explain(reader->Finish()));
  std::cout << FormatLogprobs(response) << std::flush;
  if (flags.stats || IsTerminal(STDERR_FILENO)) std::cerr << FormatStats(response) << std::flush;
  return absl::OkStatus();
}

}  // namespace

Command AddRunCommand(CLI::App& app, const CommonFlags& common) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* run = app.add_subcommand("run", "Continue a prompt, streaming the text to stdout");
  run->add_option("prompt", flags->prompt, "the prompt; - reads it from stdin");
  run->add_option("--file", flags->file, "read the prompt from this file")->type_name("FILE");
  run->add_option("--model", *flags->request.mutable_model(),
                  "name of the model (default: the one loaded)");
  run->add_flag("--stats", flags->stats, "say on stderr how fast it went, terminal or not");
  AddGenerationFlags(*run, flags->request.mutable_options());
  return {.app = run, .run = [flags, &common] { return Report(Run(common, *flags)); }};
}

}  // namespace layercake
