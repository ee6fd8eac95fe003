#include "coordinator/cli/load_flags.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/text_table.h"

namespace layercake {
namespace {

TokenRange ParseRange(const std::string& flag, const std::string& text) {
  const std::vector<std::string> ends = absl::StrSplit(text, '-');
  TokenRange range;
  if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &range.least) ||
      !absl::SimpleAtoi(ends.back(), &range.most) || range.least < 1 || range.most < range.least) {
    throw CLI::ValidationError(
        flag, absl::StrCat("\"", text,
                           "\" is no number of tokens, as in 128, nor a range of them, "
                           "as in 64-512"));
  }
  return range;
}

void AddRange(CLI::App& app, const std::string& flag, TokenRange* range, const std::string& help) {
  app.add_option_function<std::string>(
         flag, [flag, range](const std::string& text) { *range = ParseRange(flag, text); }, help)
      ->type_name("N|LEAST-MOST")
      ->default_str(FormatRange(*range));
}

}  // namespace

void AddLoadFlags(CLI::App& app, LoadOptions* load) {
  app.add_option("--requests", load->requests, "requests in all")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI::Option* concurrency =
      app.add_option("--concurrency", load->concurrency,
                     "requests in flight: the next is sent when one has ended")
          ->check(CLI::PositiveNumber)
          ->capture_default_str();
  app.add_option("--arrival-rate", load->arrivals_per_second,
                 "instead, requests a second that come at random (Poisson), whatever became of "
                 "those before")
      ->check(CLI::PositiveNumber)
      ->type_name("RATE")
      ->excludes(concurrency);
  AddRange(app, "--prompt-tokens", &load->prompt_tokens,
           "tokens of each prompt, or least and most");
  AddRange(app, "--output-tokens", &load->output_tokens,
           "tokens that each request generates, or least and most");
  app.add_option("--seed", load->seed, "of prompts, lengths and arrivals")->capture_default_str();
}

std::string FormatRange(const TokenRange& range) {
  if (range.least == range.most) return absl::StrCat(range.least);
  return absl::StrCat(range.least, "-", range.most);
}

std::string FormatLoad(const LoadOptions& load) {
  return absl::StrCat(load.arrivals_per_second > 0
                          ? absl::StrCat(FormatFigure(load.arrivals_per_second), " a second")
                          : absl::StrCat(load.concurrency, " at a time"),
                      ", ", FormatRange(load.prompt_tokens), " prompt and ",
                      FormatRange(load.output_tokens), " output tokens each");
}

}  // namespace layercake
