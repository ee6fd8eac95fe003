#include "coordinator/options/plan_flags.h"

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/bytes.h"

namespace layercake {
namespace {

constexpr char kGroup[] = "Placement";

[[noreturn]] void Reject(const std::string& flag, const std::string& why) {
  throw CLI::ValidationError(flag, why);
}

using SizeParser = absl::StatusOr<int64_t> (*)(absl::string_view);

uint64_t SizeOrReject(const std::string& flag, SizeParser parse, absl::string_view text) {
  const absl::StatusOr<int64_t> bytes = parse(text);
  if (!bytes.ok()) Reject(flag, std::string(bytes.status().message()));
  return static_cast<uint64_t>(*bytes);
}

int32_t CountOrReject(const std::string& flag, absl::string_view text, int32_t minimum) {
  int32_t value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < minimum) {
    Reject(flag, absl::StrCat("\"", text, "\" is not a whole number of at least ", minimum));
  }
  return value;
}

// Items of every occurrence of a flag, each occurrence itself a comma-separated list.
std::vector<std::string> Items(const std::string& flag, const std::vector<std::string>& values) {
  std::vector<std::string> items;
  for (const std::string& value : values) {
    for (absl::string_view item : absl::StrSplit(value, ',')) {
      item = absl::StripAsciiWhitespace(item);
      if (item.empty()) Reject(flag, absl::StrCat("\"", value, "\" has an empty item"));
      items.emplace_back(item);
    }
  }
  return items;
}

// "name=0-19" or "name=7", both ends included.
v1::PlanOptions::LayerRange ParseLayers(const std::string& item) {
  const auto reject = [&item] {
    Reject("--layers", absl::StrCat("\"", item, "\" is not worker=first-last, as in m40=0-19"));
  };
  const size_t equals = item.rfind('=');
  if (equals == std::string::npos || equals == 0) reject();
  const std::vector<std::string> ends = absl::StrSplit(item.substr(equals + 1), '-');
  int32_t first = 0;
  int32_t last = 0;
  if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) ||
      !absl::SimpleAtoi(ends.back(), &last)) {
    reject();
  }
  if (first < 0 || last < first || last == std::numeric_limits<int32_t>::max()) reject();
  v1::PlanOptions::LayerRange range;
  range.set_worker(item.substr(0, equals));
  range.set_first_layer(first);
  range.set_num_layers(last - first + 1);
  return range;
}

// "size" for every worker or "worker=size" for one, into `*sizes`.
void AddSize(const std::string& flag, SizeParser parse, const std::string& item,
             google::protobuf::Map<std::string, uint64_t>* sizes) {
  const size_t equals = item.rfind('=');
  const std::string worker = equals == std::string::npos ? "" : item.substr(0, equals);
  if (equals == 0) Reject(flag, absl::StrCat("\"", item, "\" has no worker before the ="));
  const uint64_t bytes =
      SizeOrReject(flag, parse, equals == std::string::npos ? item : item.substr(equals + 1));
  if (!sizes->insert({worker, bytes}).second) {
    Reject(flag, worker.empty() ? "given twice for all workers"
                                : absl::StrCat("given twice for ", worker));
  }
}

using ListSetter = std::function<void(const std::vector<std::string>&, v1::PlanOptions*)>;

void SetSplit(const std::vector<std::string>& items, v1::PlanOptions* options) {
  options->clear_split();
  for (const std::string& item : items) {
    double share = 0;
    if (!absl::SimpleAtod(item, &share) || !(share >= 0) ||
        share > std::numeric_limits<float>::max()) {
      Reject("--split", absl::StrCat("\"", item, "\" is not a share, as in 12,6"));
    }
    options->add_split(share);
  }
}

void SetLayers(const std::vector<std::string>& items, v1::PlanOptions* options) {
  options->clear_manual();
  for (const std::string& item : items) *options->add_manual() = ParseLayers(item);
}

void SetMaxMemory(const std::vector<std::string>& items, v1::PlanOptions* options) {
  options->clear_max_memory_bytes();
  for (const std::string& item : items) {
    AddSize("--max-memory", ParseMemory, item, options->mutable_max_memory_bytes());
  }
}

void SetReserve(const std::vector<std::string>& items, v1::PlanOptions* options) {
  options->clear_reserve_bytes();
  for (const std::string& item : items) {
    AddSize("--reserve", ParseBytes, item, options->mutable_reserve_bytes());
  }
}

void SetOrder(const std::vector<std::string>& items, v1::PlanOptions* options) {
  options->mutable_order()->Assign(items.begin(), items.end());
}

void SetExclude(const std::vector<std::string>& items, v1::PlanOptions* options) {
  options->mutable_exclude()->Assign(items.begin(), items.end());
}

// `set` for a flag that stands for a policy where none is named.
ListSetter Implying(v1::PlanOptions::Policy policy, const CLI::Option* named, ListSetter set) {
  return [=](const std::vector<std::string>& items, v1::PlanOptions* options) {
    set(items, options);
    if (named->count() == 0) options->set_policy(policy);
  };
}

void AddList(CLI::App& app, v1::PlanOptions* options, const std::string& flag, ListSetter set,
             const std::string& help, const std::string& type) {
  app.add_option_function<std::vector<std::string>>(
         flag,
         [flag, set, options](const std::vector<std::string>& values) {
           set(Items(flag, values), options);
         },
         help)
      ->type_name(type)
      ->type_size(1)
      ->allow_extra_args(false)
      ->group(kGroup);
}

CLI::Option* AddText(CLI::App& app, const std::string& flag,
                     std::function<void(const std::string&)> set, const std::string& help,
                     const std::string& type) {
  return app.add_option_function<std::string>(flag, std::move(set), help)
      ->type_name(type)
      ->group(kGroup);
}

// A flag that takes one of a few names.
template <typename Value>
using Choices = std::vector<std::pair<const char*, Value>>;

template <typename Value>
CLI::Option* AddChoice(CLI::App& app, v1::PlanOptions* options, const std::string& flag,
                       const Choices<Value>& choices, void (v1::PlanOptions::*set)(Value),
                       const std::string& help, const std::string& type) {
  return AddText(
      app, flag,
      [flag, choices, set, options](const std::string& text) {
        std::string names;
        for (const auto& [name, value] : choices) {
          if (text == name) return (options->*set)(value);
          absl::StrAppend(&names, names.empty() ? "" : ", ", name);
        }
        Reject(flag, absl::StrCat("\"", text, "\" is none of ", names));
      },
      help, type);
}

CLI::Option* AddPolicy(CLI::App& app, v1::PlanOptions* options) {
  using Options = v1::PlanOptions;
  return AddChoice<Options::Policy>(
      app, options, "--policy",
      {{"auto", Options::POLICY_AUTO},
       {"balanced", Options::POLICY_BALANCED},
       {"sequential", Options::POLICY_SEQUENTIAL},
       {"proportional", Options::POLICY_PROPORTIONAL},
       {"manual", Options::POLICY_MANUAL}},
      &Options::set_policy,
      "how layers are shared out: auto (fits and is fastest), balanced (equal numbers), "
      "sequential (fill one device after another), proportional (see --split), manual (see "
      "--layers)",
      "POLICY");
}

void AddObjective(CLI::App& app, v1::PlanOptions* options) {
  using Options = v1::PlanOptions;
  AddChoice<Options::Objective>(
      app, options, "--objective",
      {{"throughput", Options::OBJECTIVE_THROUGHPUT}, {"latency", Options::OBJECTIVE_LATENCY}},
      &Options::set_objective,
      "what auto makes best: throughput (the slowest stage; default) or latency (the sum)",
      "OBJECTIVE");
}

void AddReplicas(CLI::App& app, v1::PlanOptions* options) {
  AddText(
      app, "--replicas",
      [options](const std::string& text) {
        options->set_replicas(text == "auto" ? 0 : CountOrReject("--replicas", text, 1));
      },
      "copies of the whole pipeline, over which requests are divided; auto (default): as many as "
      "gain throughput, one for latency",
      "N");
}

void AddLimits(CLI::App& app, v1::PlanOptions* options) {
  AddText(
      app, "--context",
      [options](const std::string& text) {
        options->set_context_tokens(text == "auto" ? 0 : CountOrReject("--context", text, 1));
      },
      "longest sequence in tokens; auto (default): the model's own, or the largest that fits",
      "TOKENS");
  AddText(
      app, "--batch",
      [options](const std::string& text) {
        options->set_batch_sequences(CountOrReject("--batch", text, 1));
      },
      "sequences computed together in one step (default 16)", "N");
  AddText(
      app, "--step-tokens",
      [options](const std::string& text) {
        options->set_step_tokens(CountOrReject("--step-tokens", text, 1));
      },
      "tokens of one step, prompts included (default 256)", "N");
  AddChoice<v1::KvType>(
      app, options, "--kv-type",
      {{"auto", v1::KV_TYPE_UNSPECIFIED}, {"f32", v1::KV_TYPE_F32}, {"f16", v1::KV_TYPE_F16}},
      &v1::PlanOptions::set_kv_type,
      "precision of the KV cache (default auto: f32 for f32 checkpoints, else f16)", "TYPE");
}

void AddNumbers(CLI::App& app, v1::PlanOptions* options) {
  AddChoice<v1::ActivationType>(app, options, "--activations",
                                {{"f32", v1::ACTIVATION_TYPE_F32},
                                 {"bf16", v1::ACTIVATION_TYPE_BF16},
                                 {"f16", v1::ACTIVATION_TYPE_F16}},
                                &v1::PlanOptions::set_activation_type,
                                "numbers that stages send each other (default f32: answers do not "
                                "depend on the cut); 16 bits "
                                "take half the time on a slow network",
                                "TYPE");
  AddChoice<v1::WeightType>(
      app, options, "--weights",
      {{"auto", v1::WEIGHT_TYPE_AUTO},
       {"f32", v1::WEIGHT_TYPE_F32},
       {"bf16", v1::WEIGHT_TYPE_BF16},
       {"f16", v1::WEIGHT_TYPE_F16},
       {"int8", v1::WEIGHT_TYPE_INT8},
       {"int4", v1::WEIGHT_TYPE_INT4}},
      &v1::PlanOptions::set_weight_type,
      "how weights are held (default: as the checkpoint has them); auto is the most precise that "
      "fits",
      "TYPE");
}

std::string ForShell(const std::string& word) {
  constexpr char kPlain[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/%@";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  return absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

}  // namespace

void AddPlanFlags(CLI::App& app, v1::PlanOptions* options) {
  const CLI::Option* policy = AddPolicy(app, options);
  AddObjective(app, options);
  AddList(app, options, "--split", Implying(v1::PlanOptions::POLICY_PROPORTIONAL, policy, SetSplit),
          "shares of the layers, one per device in --order (else by name), as in 12,6", "SHARES");
  AddList(app, options, "--layers", Implying(v1::PlanOptions::POLICY_MANUAL, policy, SetLayers),
          "layers of each worker, both ends included, as in m40=0-19,p106=20-31", "WORKER=A-B");
  AddList(app, options, "--max-memory", SetMaxMemory,
          "use no more than this, on every device or on the one named, as in m40=11.5GiB",
          "[WORKER=]SIZE");
  AddList(app, options, "--reserve", SetReserve,
          "leave this much alone, on every device or on the one named, as in m40=1GiB (default "
          "64MiB on a CPU, 256MiB on a GPU)",
          "[WORKER=]SIZE");
  AddList(app, options, "--order", SetOrder, "the pipeline's order of workers", "WORKERS");
  AddList(app, options, "--exclude", SetExclude, "workers to leave out", "WORKERS");
  AddReplicas(app, options);
  AddLimits(app, options);
  AddNumbers(app, options);
}

std::vector<std::string> GivenPlanFlags(const CLI::App& app) {
  std::vector<std::string> given;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group() != kGroup) continue;
    const char* environment = std::getenv(option->get_envname().c_str());
    if (environment != nullptr && option->results() == std::vector<std::string>{environment}) {
      continue;
    }
    for (const std::string& value : option->results()) {
      given.push_back(absl::StrCat(option->get_name(), " ", ForShell(value)));
    }
  }
  return given;
}

}  // namespace layercake
