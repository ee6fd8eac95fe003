#include "coordinator/cli/simulation_report.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/text_table.h"
#include "coordinator/cli/load_flags.h"

namespace layercake {
namespace {

std::string Both(const Percentiles& percentiles, absl::string_view unit) {
  return absl::StrCat("p50 ", FormatFigure(percentiles.p50), ", p99 ",
                      FormatFigure(percentiles.p99), " ", unit);
}

std::string Percent(double share) { return absl::StrFormat("%.1f%%", 100 * share); }

std::string StageRows(const SimulationResult& result) {
  constexpr auto kRight = TextTable::Align::kRight;
  TextTable table(
      {{"stage"}, {"busy", kRight}, {"bubbles", kRight}, {"steps", kRight}, {"mean step", kRight}});
  const bool replicas = !result.stages.empty() && result.stages.back().replica > 0;
  for (const StageUse& stage : result.stages) {
    table.AddRow(
        {replicas ? absl::StrCat(stage.worker, " (replica ", stage.replica, ")") : stage.worker,
         Percent(stage.busy_share), Percent(1 - stage.busy_share), absl::StrCat(stage.steps),
         absl::StrCat(FormatFigure(1e3 * stage.mean_step_seconds), " ms")});
  }
  return table.Format();
}

}  // namespace

std::string FormatSimulation(const LoadOptions& load, const SimulationResult& result,
                             const v1::Plan& plan) {
  TextTable table({{"simulated"}, {""}});
  table.AddRow({"wall time", absl::StrCat(FormatFigure(result.wall_seconds), " s")});
  table.AddRow({"prompt", absl::StrCat(FormatFigure(result.prompt_tokens_per_second), " tokens/s (",
                                       result.prompt_tokens, " tokens)")});
  table.AddRow({"generation", absl::StrCat(FormatFigure(result.output_tokens_per_second),
                                           " tokens/s (", result.output_tokens, " tokens)")});
  table.AddRow({"each request generates",
                absl::StrCat("p50 ", FormatFigure(result.request_output_tokens_per_second.p50),
                             " tokens/s after its first")});
  table.AddRow({"time to first token", Both(result.first_token_ms, "ms")});
  table.AddRow({"time between tokens", Both(result.between_tokens_ms, "ms")});
  table.AddRow({"KV blocks in use", absl::StrCat("mean ", Percent(result.mean_kv_share), ", peak ",
                                                 Percent(result.peak_kv_share))});
  table.AddRow({"preempted, refused", absl::StrCat(result.preemptions, ", ", result.refused)});
  return absl::StrCat(Counted(load.requests, "request"), ", ", FormatLoad(load), "\n\n",
                      table.Format(), "\n", StageRows(result), plan.notes().empty() ? "" : "\n",
                      absl::StrJoin(plan.notes(), "\n"), plan.notes().empty() ? "" : "\n");
}

std::string SimulationJson(const LoadOptions& load, const SimulationResult& result,
                           const v1::Plan& plan) {
  const auto both = [](const Percentiles& p) {
    return nlohmann::ordered_json{{"p50", p.p50}, {"p99", p.p99}};
  };
  nlohmann::ordered_json stages = nlohmann::ordered_json::array();
  for (const StageUse& stage : result.stages) {
    stages.push_back({{"worker", stage.worker},
                      {"replica", stage.replica},
                      {"steps", stage.steps},
                      {"busyShare", stage.busy_share},
                      {"meanStepSeconds", stage.mean_step_seconds}});
  }
  const nlohmann::ordered_json json = {
      {"concurrency", load.concurrency},
      {"arrivalsPerSecond", load.arrivals_per_second},
      {"requests", result.requests},
      {"promptTokensEach", FormatRange(load.prompt_tokens)},
      {"outputTokensEach", FormatRange(load.output_tokens)},
      {"wallSeconds", result.wall_seconds},
      {"promptTokens", result.prompt_tokens},
      {"outputTokens", result.output_tokens},
      {"promptTokensPerSecond", result.prompt_tokens_per_second},
      {"outputTokensPerSecond", result.output_tokens_per_second},
      {"requestOutputTokensPerSecond", both(result.request_output_tokens_per_second)},
      {"firstTokenMs", both(result.first_token_ms)},
      {"betweenTokensMs", both(result.between_tokens_ms)},
      {"refused", result.refused},
      {"preemptions", result.preemptions},
      {"meanKvShare", result.mean_kv_share},
      {"peakKvShare", result.peak_kv_share},
      {"stages", stages},
      {"notes", std::vector<std::string>(plan.notes().begin(), plan.notes().end())}};
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace layercake
