#pragma once

// Load on a served model, and figures of how it bore it.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "coordinator/simulate/load.h"
#include "coordinator/simulate/percentiles.h"
#include "layercake/v1/inference.grpc.pb.h"

namespace layercake {

struct BenchOptions {
  // End-of-sequence tokens do not end a request; its lengths are as drawn.
  LoadOptions load = {.requests = 8};
  int vocab_size = 0;
  std::string model;
};

// What one request saw.
struct RequestTrace {
  struct Arrival {
    absl::Time at;
    int tokens;
  };
  absl::Time sent;
  absl::Time ended;
  std::vector<Arrival> arrivals;
  int prompt_tokens = 0;
  absl::Status status;
};

// Sends the requests of options.load, prompts of random token ids, each from a thread that waits
// for it. `on_done` is called after each, with how many have ended, under a lock.
std::vector<RequestTrace> RunBench(v1::Inference::StubInterface& stub, const BenchOptions& options,
                                   const Clock& clock, const std::function<void(int)>& on_done);

struct BenchSummary {
  int requests = 0;
  int errors = 0;
  std::string first_error;
  double wall_seconds = 0;
  int64_t prompt_tokens = 0;  // of requests that succeeded, as the next
  int64_t output_tokens = 0;
  double prompt_tokens_per_second = 0;  // over the wall time, all requests together
  double output_tokens_per_second = 0;
  Percentiles first_token_ms;
  // Between tokens of one request; tokens that came in one message share the wait for it.
  Percentiles between_tokens_ms;
  Percentiles request_output_tokens_per_second;  // after the first token
};
BenchSummary Summarise(const std::vector<RequestTrace>& traces);

std::string FormatBench(const BenchOptions& options, const BenchSummary& summary);
std::string BenchJson(const BenchOptions& options, const BenchSummary& summary);

}  // namespace layercake
