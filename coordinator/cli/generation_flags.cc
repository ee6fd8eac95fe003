#include "coordinator/cli/generation_flags.h"

#include <cstdint>
#include <string>
#include <vector>

namespace layercake {
namespace {

constexpr char kGroup[] = "Generation";

template <typename Value, typename Set>
void Add(CLI::App& app, const std::string& flag, const std::string& help, const std::string& type,
         Set set) {
  app.add_option_function<Value>(flag, std::function<void(const Value&)>(std::move(set)), help)
      ->type_name(type)
      ->group(kGroup);
}

void AddSamplingFlags(CLI::App& app, v1::SamplingParams* sampling) {
  Add<float>(app, "--temperature", "0 is greedy; higher is more varied", "X",
             [sampling](float value) { sampling->set_temperature(value); });
  Add<int32_t>(app, "--top-k", "draw from the K likeliest tokens; 0 is all", "K",
               [sampling](int32_t value) { sampling->set_top_k(value); });
  Add<float>(app, "--top-p", "draw from the likeliest tokens that make up P", "P",
             [sampling](float value) { sampling->set_top_p(value); });
  Add<float>(app, "--min-p", "drop tokens less likely than P times the likeliest", "P",
             [sampling](float value) { sampling->set_min_p(value); });
  Add<float>(app, "--repetition-penalty", "above 1 discourages tokens seen before", "X",
             [sampling](float value) { sampling->set_repetition_penalty(value); });
  Add<float>(app, "--presence-penalty", "taken once from tokens generated before", "X",
             [sampling](float value) { sampling->set_presence_penalty(value); });
  Add<float>(app, "--frequency-penalty", "taken per time a token was generated before", "X",
             [sampling](float value) { sampling->set_frequency_penalty(value); });
  Add<uint64_t>(app, "--seed", "the same seed gives the same answer", "N",
                [sampling](uint64_t value) { sampling->set_seed(value); });
}

}  // namespace

void AddGenerationFlags(CLI::App& app, v1::GenerateOptions* options) {
  Add<int32_t>(app, "--max-tokens", "tokens to generate at most (default: what the context holds)",
               "N", [options](int32_t value) { options->set_max_tokens(value); });
  AddSamplingFlags(app, options->mutable_sampling());
  app.add_option_function<std::vector<std::string>>(
         "--stop",
         [options](const std::vector<std::string>& texts) {
           options->mutable_stop()->Assign(texts.begin(), texts.end());
         },
         "end before this text; repeatable")
      ->type_name("TEXT")
      ->type_size(1)
      ->allow_extra_args(false)
      ->group(kGroup);
  app.add_option_function<std::vector<int32_t>>(
         "--stop-id",
         [options](const std::vector<int32_t>& ids) {
           options->mutable_stop_ids()->Assign(ids.begin(), ids.end());
         },
         "end at this token id; repeatable")
      ->type_name("ID")
      ->type_size(1)
      ->allow_extra_args(false)
      ->group(kGroup);
  const auto add_flag = [&app](const std::string& flag, const std::string& help,
                               std::function<void(bool)> set) {
    app.add_flag_function(
           flag, [set](int64_t count) { set(count > 0); }, help)
        ->group(kGroup);
  };
  add_flag("--ignore-eos", "go on after the model's end-of-sequence token",
           [options](bool on) { options->set_ignore_eos(on); });
  add_flag("--logprobs", "show each token's log-probability",
           [options](bool on) { options->set_logprobs(on); });
  Add<int32_t>(app, "--top-logprobs", "show the N likeliest tokens at each position", "N",
               [options](int32_t value) { options->set_top_logprobs(value); });
  Add<int32_t>(app, "--completions,-n", "completions of the one prompt", "N",
               [options](int32_t value) { options->set_n(value); });
  add_flag("--echo", "show the prompt before each completion",
           [options](bool on) { options->set_echo(on); });
}

}  // namespace layercake
