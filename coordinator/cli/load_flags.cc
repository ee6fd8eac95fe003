#include "coordinator/cli/load_flags.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/text_table.h"

namespace layercake {
namespace {

// More would be played for minutes, and tell no more.
constexpr int kMostRequests = 1'000'000;
constexpr int kMostInFlight = 10'000;  // a thread each in a benchmark
constexpr double kMostArrivalsPerSecond = 1e6;

double ParseRate(const std::string& text) {
  double rate = 0;
  if (absl::SimpleAtod(text, &rate) && rate >= 1e-6 && rate <= kMostArrivalsPerSecond) return rate;
  throw CLI::ValidationError(
      "--arrival-rate",
      absl::StrCat("\"", text, "\" is no number of requests a second from 0.000001 to ",
                   static_cast<int>(kMostArrivalsPerSecond)));
}

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

// A whole number from `least` to `most`, into `*value`.
template <typename Number>
CLI::Option* AddNumber(CLI::App& app, const std::string& flag, Number* value, Number least,
                       Number most, const std::string& help) {
  const auto parse = [=](const std::string& text) {
    if (absl::SimpleAtoi(text, value) && *value >= least && *value <= most) return;
    throw CLI::ValidationError(
        flag, absl::StrCat("\"", text, "\" is not a whole number from ", least, " to ", most));
  };
  return app.add_option_function<std::string>(flag, parse, help)
      ->type_name("N")
      ->default_str(absl::StrCat(*value));
}

void AddRange(CLI::App& app, const std::string& flag, TokenRange* range, const std::string& help) {
  app.add_option_function<std::string>(
         flag, [flag, range](const std::string& text) { *range = ParseRange(flag, text); }, help)
      ->type_name("N|LEAST-MOST")
      ->default_str(FormatRange(*range));
}

}  // namespace

void AddLoadFlags(CLI::App& app, LoadOptions* load) {
  AddNumber(app, "--requests", &load->requests, 1, kMostRequests, "requests in all");
  CLI::Option* concurrency = AddNumber(app, "--concurrency", &load->concurrency, 1, kMostInFlight,
                                       "requests in flight: the next is sent when one has ended");
  app.add_option_function<std::string>(
         "--arrival-rate",
         [load](const std::string& text) { load->arrivals_per_second = ParseRate(text); },
         "instead, requests a second that come at random (Poisson), whatever became of those "
         "before")
      ->type_name("RATE")
      ->excludes(concurrency);
  AddRange(app, "--prompt-tokens", &load->prompt_tokens,
           "tokens of each prompt, or least and most");
  AddRange(app, "--output-tokens", &load->output_tokens,
           "tokens that each request generates, or least and most");
  AddNumber(app, "--seed", &load->seed, uint64_t{0}, std::numeric_limits<uint64_t>::max(),
            "of prompts, lengths and arrivals");
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
