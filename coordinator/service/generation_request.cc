#include "coordinator/service/generation_request.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/rpc/status.h"

namespace layercake {
namespace {

// Collects every violation, so that a client mends its request once.
class Violations {
 public:
  // Returns `holds`; notes the violation if not.
  bool Require(bool holds, absl::string_view field, const std::string& rule) {
    if (holds) return true;
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(field, " ", rule));
    status_ = WithField(std::move(status_), field, rule);
    return false;
  }

  // Checks that a number lies in [low, high]; NaN lies nowhere.
  void Range(double value, double low, double high, absl::string_view field) {
    Require(value >= low && value <= high, field,
            high >= INT32_MAX ? absl::StrCat("must be at least ", low, ", got ", value)
                              : absl::StrCat("must be in [", low, ", ", high, "], got ", value));
  }

  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

uint64_t DrawSeed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

v1::Sampling ResolveSampling(const v1::SamplingParams& asked, const GenerationDefaults& defaults,
                             Violations& violations) {
  v1::Sampling sampling;
  sampling.set_temperature(asked.has_temperature() ? asked.temperature()
                                                   : defaults.temperature.value_or(1));
  sampling.set_top_k(asked.has_top_k() ? asked.top_k() : defaults.top_k.value_or(0));
  sampling.set_top_p(asked.has_top_p() ? asked.top_p() : defaults.top_p.value_or(1));
  sampling.set_min_p(asked.has_min_p() ? asked.min_p() : defaults.min_p.value_or(0));
  sampling.set_repetition_penalty(asked.has_repetition_penalty()
                                      ? asked.repetition_penalty()
                                      : defaults.repetition_penalty.value_or(1));
  sampling.set_presence_penalty(asked.presence_penalty());
  sampling.set_frequency_penalty(asked.frequency_penalty());
  sampling.set_seed(asked.has_seed() ? asked.seed() : DrawSeed());

  const std::string prefix = "options.sampling.";
  violations.Range(sampling.temperature(), 0, 1e6, prefix + "temperature");
  violations.Range(sampling.top_k(), 0, INT32_MAX, prefix + "top_k");
  violations.Require(sampling.top_p() > 0 && sampling.top_p() <= 1, prefix + "top_p",
                     absl::StrCat("must be in (0, 1], got ", sampling.top_p()));
  violations.Range(sampling.min_p(), 0, 1, prefix + "min_p");
  violations.Require(sampling.repetition_penalty() > 0 && sampling.repetition_penalty() <= 1e6,
                     prefix + "repetition_penalty",
                     absl::StrCat("must be above 0, got ", sampling.repetition_penalty()));
  violations.Range(sampling.presence_penalty(), -2, 2, prefix + "presence_penalty");
  violations.Range(sampling.frequency_penalty(), -2, 2, prefix + "frequency_penalty");
  return sampling;
}

void CheckPrompt(const std::vector<int32_t>& ids, int64_t vocab_size, int max_context_tokens,
                 Violations& violations) {
  const int num_tokens = static_cast<int>(ids.size());
  violations.Require(num_tokens > 0, "prompt", "is empty: it must have at least one token");
  violations.Require(num_tokens < max_context_tokens, "prompt",
                     absl::StrCat("has ", num_tokens, " tokens, but the context holds ",
                                  max_context_tokens, ", one of which must be left to generate"));
  for (const int32_t id : ids) {
    if (!violations.Require(id >= 0 && id < vocab_size, "prompt",
                            absl::StrCat("has token id ", id, ", but the vocabulary ends at ",
                                         vocab_size - 1))) {
      return;
    }
  }
}

}  // namespace

absl::StatusOr<GenerationRequest> ResolveRequest(const v1::GenerateOptions& options,
                                                 const ServedModel& model,
                                                 std::vector<int32_t> prompt_ids,
                                                 int max_context_tokens) {
  Violations violations;
  GenerationRequest request;
  CheckPrompt(prompt_ids, model.checkpoint->config().vocab_size, max_context_tokens, violations);
  const int room = std::max(1, max_context_tokens - static_cast<int>(prompt_ids.size()));
  const int max_tokens = options.has_max_tokens() ? options.max_tokens() : room;
  const int n = options.has_n() ? options.n() : 1;
  violations.Range(max_tokens, 1, INT32_MAX, "options.max_tokens");
  violations.Range(n, 1, kMaxCompletions, "options.n");
  violations.Range(options.top_logprobs(), 0, kMaxTopLogprobs, "options.top_logprobs");
  violations.Require(options.stop_size() <= kMaxStopStrings, "options.stop",
                     absl::StrCat("may hold ", kMaxStopStrings, " strings at most, got ",
                                  options.stop_size()));
  for (const std::string& stop : options.stop()) {
    violations.Require(!stop.empty(), "options.stop", "must not hold an empty string");
  }
  request.sampling = ResolveSampling(options.sampling(),
                                     model.checkpoint->generation_defaults(), violations);
  if (!violations.status().ok()) return violations.status();
  if (options.stop_size() > 0 && model.tokenizer == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        model.name, " has no tokenizer.json, so stop strings cannot be found; use stop_ids"));
  }

  request.prompt_ids = std::move(prompt_ids);
  request.max_tokens = std::min(max_tokens, room);
  request.stop.assign(options.stop().begin(), options.stop().end());
  request.stop_ids.assign(options.stop_ids().begin(), options.stop_ids().end());
  request.ignore_eos = options.ignore_eos();
  request.logprobs = options.logprobs() || options.top_logprobs() > 0;
  request.n = n;
  request.echo = options.echo();
  request.sampling.set_logprobs(request.logprobs);
  request.sampling.set_top_logprobs(options.top_logprobs());
  return request;
}

}  // namespace layercake
