#include "coordinator/cli/bench.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/base/text_table.h"
#include "common/rpc/status.h"
#include "coordinator/cli/load_flags.h"

namespace layercake {
namespace {

v1::GenerateRequest MakeRequest(const BenchOptions& options, const LoadRequest& load, int index) {
  v1::GenerateRequest request;
  request.set_model(options.model);
  const uint64_t seed = options.load.seed;
  std::mt19937_64 random(seed * 1'000'003 + static_cast<uint64_t>(index));
  std::uniform_int_distribution<int32_t> id(0, options.vocab_size - 1);
  for (int i = 0; i < load.prompt_tokens; ++i) request.mutable_token_ids()->add_ids(id(random));
  v1::GenerateOptions* generate = request.mutable_options();
  generate->set_max_tokens(load.output_tokens);
  generate->set_ignore_eos(true);
  generate->mutable_sampling()->set_seed(seed + static_cast<uint64_t>(index));
  return request;
}

RequestTrace Trace(v1::Inference::StubInterface& stub, const v1::GenerateRequest& request,
                   const Clock& clock) {
  RequestTrace trace;
  grpc::ClientContext context;
  trace.sent = clock.Now();
  const auto reader = stub.Generate(&context, request);
  v1::GenerateChunk chunk;
  while (reader->Read(&chunk)) {
    if (chunk.token_ids_size() > 0) {
      trace.arrivals.push_back({.at = clock.Now(), .tokens = chunk.token_ids_size()});
    }
    if (chunk.has_finish()) trace.prompt_tokens = chunk.finish().usage().prompt_tokens();
  }
  trace.status = FromGrpcStatus(reader->Finish());
  trace.ended = clock.Now();
  return trace;
}

void AddTrace(const RequestTrace& trace, BenchSummary& summary, std::vector<double>& first,
              std::vector<double>& between, std::vector<double>& rates) {
  summary.prompt_tokens += trace.prompt_tokens;
  if (trace.arrivals.empty()) return;
  first.push_back(absl::ToDoubleMilliseconds(trace.arrivals.front().at - trace.sent));
  int after_first = trace.arrivals.front().tokens - 1;
  summary.output_tokens += trace.arrivals.front().tokens;
  // Tokens that came together with the first waited for nothing.
  between.insert(between.end(), after_first, 0.0);
  for (size_t i = 1; i < trace.arrivals.size(); ++i) {
    const auto& arrival = trace.arrivals[i];
    const double gap = absl::ToDoubleMilliseconds(arrival.at - trace.arrivals[i - 1].at);
    between.insert(between.end(), arrival.tokens, gap / arrival.tokens);
    summary.output_tokens += arrival.tokens;
    after_first += arrival.tokens;
  }
  const double seconds =
      absl::ToDoubleSeconds(trace.arrivals.back().at - trace.arrivals.front().at);
  if (seconds > 0) rates.push_back(after_first / seconds);
}

std::string Both(const Percentiles& percentiles, absl::string_view unit) {
  return absl::StrCat("p50 ", FormatFigure(percentiles.p50), ", p99 ",
                      FormatFigure(percentiles.p99), " ", unit);
}

}  // namespace

std::vector<RequestTrace> RunBench(v1::Inference::StubInterface& stub, const BenchOptions& options,
                                   const Clock& clock, const std::function<void(int)>& on_done) {
  struct Shared {
    Mutex mutex;
    int next ABSL_GUARDED_BY(mutex) = 0;
    std::vector<RequestTrace> traces ABSL_GUARDED_BY(mutex);
  } shared;
  const std::vector<LoadRequest> load = DrawLoad(options.load);
  std::vector<v1::GenerateRequest> requests;
  for (const LoadRequest& request : load) {
    requests.push_back(MakeRequest(options, request, static_cast<int>(requests.size())));
  }
  const auto send = [&](size_t index) {
    RequestTrace trace = Trace(stub, requests[index], clock);
    MutexLock lock(shared.mutex);
    shared.traces.push_back(std::move(trace));
    if (on_done) on_done(static_cast<int>(shared.traces.size()));
  };
  const auto send_in_turn = [&] {
    while (true) {
      size_t index = 0;
      {
        MutexLock lock(shared.mutex);
        if (shared.next == options.load.requests) return;
        index = static_cast<size_t>(shared.next++);
      }
      send(index);
    }
  };
  std::vector<std::thread> threads;
  if (options.load.arrivals_per_second > 0) {
    const absl::Time begin = clock.Now();
    for (size_t i = 0; i < requests.size(); ++i) {
      absl::SleepFor(begin + absl::Seconds(load[i].arrives_seconds) - clock.Now());
      threads.emplace_back(send, i);
    }
  } else {
    for (int i = 0; i < std::min(options.load.concurrency, options.load.requests); ++i) {
      threads.emplace_back(send_in_turn);
    }
  }
  for (std::thread& thread : threads) thread.join();
  MutexLock lock(shared.mutex);
  return std::move(shared.traces);
}

BenchSummary Summarise(const std::vector<RequestTrace>& traces) {
  BenchSummary summary{.requests = static_cast<int>(traces.size())};
  if (traces.empty()) return summary;
  absl::Time begin = absl::InfiniteFuture();
  absl::Time end = absl::InfinitePast();
  std::vector<double> first;
  std::vector<double> between;
  std::vector<double> rates;
  for (const RequestTrace& trace : traces) {
    begin = std::min(begin, trace.sent);
    end = std::max(end, trace.ended);
    if (trace.status.ok()) {
      AddTrace(trace, summary, first, between, rates);
    } else if (summary.errors++ == 0) {
      summary.first_error = std::string(trace.status.message());
    }
  }
  summary.wall_seconds = absl::ToDoubleSeconds(end - begin);
  if (summary.wall_seconds > 0) {
    summary.prompt_tokens_per_second =
        static_cast<double>(summary.prompt_tokens) / summary.wall_seconds;
    summary.output_tokens_per_second =
        static_cast<double>(summary.output_tokens) / summary.wall_seconds;
  }
  summary.first_token_ms = PercentilesOf(std::move(first));
  summary.between_tokens_ms = PercentilesOf(std::move(between));
  summary.request_output_tokens_per_second = PercentilesOf(std::move(rates));
  return summary;
}

std::string FormatBench(const BenchOptions& options, const BenchSummary& summary) {
  TextTable table({{"measured"}, {""}});
  table.AddRow({"wall time", absl::StrCat(FormatFigure(summary.wall_seconds), " s")});
  table.AddRow({"prompt", absl::StrCat(FormatFigure(summary.prompt_tokens_per_second),
                                       " tokens/s (", summary.prompt_tokens, " tokens)")});
  table.AddRow({"generation", absl::StrCat(FormatFigure(summary.output_tokens_per_second),
                                           " tokens/s (", summary.output_tokens, " tokens)")});
  table.AddRow({"each request generates",
                absl::StrCat("p50 ", FormatFigure(summary.request_output_tokens_per_second.p50),
                             " tokens/s after its first")});
  table.AddRow({"time to first token", Both(summary.first_token_ms, "ms")});
  table.AddRow({"time between tokens", Both(summary.between_tokens_ms, "ms")});
  table.AddRow({"errors", summary.errors == 0
                              ? "0"
                              : absl::StrCat(summary.errors, ": ", summary.first_error)});
  return absl::StrCat(summary.requests, " requests, ", FormatLoad(options.load), "\n\n",
                      table.Format());
}

std::string BenchJson(const BenchOptions& options, const BenchSummary& summary) {
  const auto both = [](const Percentiles& p) {
    return nlohmann::ordered_json{{"p50", p.p50}, {"p99", p.p99}};
  };
  const nlohmann::ordered_json json = {
      {"concurrency", options.load.concurrency},
      {"arrivalsPerSecond", options.load.arrivals_per_second},
      {"requests", summary.requests},
      {"promptTokensEach", FormatRange(options.load.prompt_tokens)},
      {"outputTokensEach", FormatRange(options.load.output_tokens)},
      {"wallSeconds", summary.wall_seconds},
      {"promptTokens", summary.prompt_tokens},
      {"outputTokens", summary.output_tokens},
      {"promptTokensPerSecond", summary.prompt_tokens_per_second},
      {"outputTokensPerSecond", summary.output_tokens_per_second},
      {"requestOutputTokensPerSecond", both(summary.request_output_tokens_per_second)},
      {"firstTokenMs", both(summary.first_token_ms)},
      {"betweenTokensMs", both(summary.between_tokens_ms)},
      {"errors", summary.errors},
      {"firstError", summary.first_error}};
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace layercake
