#include <unistd.h>

#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/cli/bench.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/load_flags.h"
#include "coordinator/cli/output.h"

namespace layercake {
namespace {

absl::StatusOr<v1::ModelInfo> FindModel(const Connection& connection, const std::string& name) {
  grpc::ClientContext context;
  SetTimeout(context, kCallTimeout);
  v1::ListModelsResponse response;
  LC_RETURN_IF_ERROR(connection.Explain(
      connection.inference().ListModels(&context, v1::ListModelsRequest(), &response)));
  for (const v1::ModelInfo& model : response.models()) {
    if (name.empty() || model.name() == name) return model;
  }
  return absl::NotFoundError(name.empty() ? "no model is loaded; load one with `layercake load`"
                                          : absl::StrCat("no model called ", name, " is loaded"));
}

absl::Status Bench(const CommonFlags& common, BenchOptions options, int warmup) {
  const Connection connection(common.address);
  LC_ASSIGN_OR_RETURN(const v1::ModelInfo model, FindModel(connection, options.model));
  options.vocab_size = model.vocab_size();
  if (options.vocab_size < 1) {
    return absl::FailedPreconditionError(absl::StrCat(model.name(), " has no vocabulary"));
  }
  const int prompt_tokens = options.load.prompt_tokens.most;
  const int output_tokens = options.load.output_tokens.most;
  if (prompt_tokens > model.max_context_tokens() - output_tokens) {
    return absl::InvalidArgumentError(absl::StrCat(prompt_tokens, " prompt and ", output_tokens,
                                                   " output tokens are more than the context of ",
                                                   model.max_context_tokens(), " tokens"));
  }
  BenchOptions warm = options;
  warm.load.requests = warmup;
  warm.load.seed = options.load.seed + 1'000'000;
  RunBench(connection.inference(), warm, *Clock::Real(), nullptr);
  const bool terminal = IsTerminal(STDERR_FILENO);
  const auto show = [&](int done) {
    if (terminal) std::cerr << "\r\033[K" << done << " of " << options.load.requests << std::flush;
  };
  const BenchSummary summary =
      Summarise(RunBench(connection.inference(), options, *Clock::Real(), show));
  if (terminal) std::cerr << "\r\033[K" << std::flush;
  std::cout << (common.json ? BenchJson(options, summary) : FormatBench(options, summary))
            << std::flush;
  if (summary.errors == 0) return absl::OkStatus();
  return absl::UnknownError(
      absl::StrCat(summary.errors, " of ", summary.requests,
                   " requests failed, the first with: ", summary.first_error));
}

}  // namespace

Command AddBenchCommand(CLI::App& app, const CommonFlags& common) {
  struct Flags {
    BenchOptions options;
    int warmup = 1;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* bench = app.add_subcommand(
      "bench", "Measure tokens/s and waits under load, with prompts of random token ids");
  AddLoadFlags(*bench, &flags->options.load);
  bench->add_option("--warmup", flags->warmup, "requests before those that count")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  bench->add_option("--model", flags->options.model, "name of the model (default: the one loaded)");
  return {.app = bench,
          .run = [flags, &common] { return Report(Bench(common, flags->options, flags->warmup)); }};
}

}  // namespace layercake
