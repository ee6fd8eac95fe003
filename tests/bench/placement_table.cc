// Prints the table of docs/placement.md: what each way to divide layers over unlike devices comes
// to, by one and the same accounting of memory and prediction of time.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/text_table.h"
#include "common/model/costs.h"
#include "common/model/model_size.h"
#include "coordinator/fleet/cluster_file.h"
#include "coordinator/placement/planner.h"

namespace layercake {
namespace {

constexpr int kContextTokens = 4096;

struct Case {
  const char* fleet;  // in words
  const char* cluster;
  std::vector<const char*> models;
};

const std::vector<Case>& Cases() {
  static const auto* const cases = new std::vector<Case>{
      {"M40 12 GB + P106 6 GB",
       R"(devices:
- {name: m40, card: tesla-m40, host: tower}
- {name: p106, card: p106-100, host: tower})",
       {"qwen1.5-1.8b-chat-gptq-int4", "chatglm3-6b", "llama-3-8b"}},
      {"RTX 3090 24 GB + RTX 3070 8 GB",
       R"(devices:
- {name: rtx3090, card: rtx-3090, host: tower}
- {name: rtx3070, card: rtx-3070, host: tower})",
       {"llama-3-8b", "glm-4-9b-0414"}},
      {"4 A6000 + 2 A5000 + 2 A4000",
       R"(devices:
- {name: a6000, card: rtx-a6000, host: rack, count: 4}
- {name: a5000, card: rtx-a5000, host: rack, count: 2}
- {name: a4000, card: rtx-a4000, host: rack, count: 2})",
       {"llama-2-70b"}},
      {"4 A100 40 GB + 8 L4 + 12 T4, 10 Gbit/s",
       R"(devices:
- {name: a100, card: a100, host: a, count: 4}
- {name: l4, card: l4, host: b, count: 8}
- {name: t4, card: tesla-t4, host: c, count: 12}
defaults:
  within_host: {bandwidth: 10Gbit/s, latency: 100us}
  between_hosts: {bandwidth: 10Gbit/s, latency: 100us})",
       {"llama-2-70b"}},
      {"RTX 3090 + RTX 3080 12 GB + RTX 4070",
       R"(devices:
- {name: rtx3090, card: rtx-3090, host: tower}
- {name: rtx3080, card: rtx-3080-12gb, host: tower}
- {name: rtx4070, card: rtx-4070, host: tower})",
       {"ernie-4.5-21b-a3b"}},
      {"4 A6000 + 2 RTX 3090",
       R"(devices:
- {name: a6000, card: rtx-a6000, host: rack, count: 4}
- {name: rtx3090, card: rtx-3090, host: rack, count: 2})",
       {"minimax-m2"}},
      {"4 H100 + 4 A100 80 GB",
       R"(devices:
- {name: h100, card: h100-sxm, host: left, count: 4}
- {name: a100, card: a100-sxm-80gb, host: right, count: 4}
defaults:
  within_host: {bandwidth: 100GB/s, latency: 10us}
  between_hosts: {bandwidth: 100Gbit/s, latency: 20us})",
       {"kimi-k2-thinking"}},
      {"8 H200",
       R"(devices:
- {name: h200, card: h200, host: node, count: 8}
defaults:
  within_host: {bandwidth: 100GB/s, latency: 10us})",
       {"kimi-k2"}},
  };
  return *cases;
}

using Counts = std::vector<int>;  // layers per device, in pipeline order

double Memory(const PlannerDevice& device) {
  return static_cast<double>(device.device.free_bytes());
}

// Layers whose weights a device holds were there nothing else: neither KV nor workspace.
int Capacity(const ModelConfig& model, const PlannerDevice& device, int first, int most) {
  int count = 0;
  while (count < most) {
    const LayerRange range{first, count + 1, first == 0, first + count + 1 == model.num_layers};
    if (static_cast<double>(StageWeightBytes(model, range)) > Memory(device)) break;
    ++count;
  }
  return count;
}

// Cuts at the rounded running sums of `shares` of the layers.
Counts InShares(const ModelConfig& model, const std::vector<double>& shares) {
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  Counts counts;
  double reached = 0;
  int placed = 0;
  for (const double share : shares) {
    reached += share / total * static_cast<double>(model.num_layers);
    counts.push_back(static_cast<int>(std::lround(reached)) - placed);
    placed += counts.back();
  }
  return counts;
}

// Equal numbers of layers, whatever the card: what accelerate's device_map "balanced" comes to
// where it was given one limit for all.
Counts EvenShares(const ModelConfig& model, const Fleet& fleet) {
  return InShares(model, std::vector<double>(fleet.devices.size(), 1));
}

// Each device in turn takes what its memory holds of the weights; the last takes the rest.
Counts SequentialFill(const ModelConfig& model, const Fleet& fleet) {
  Counts counts;
  int first = 0;
  for (const PlannerDevice& device : fleet.devices) {
    const int left = static_cast<int>(model.num_layers) - first;
    const bool last = counts.size() + 1 == fleet.devices.size();
    counts.push_back(last ? left : Capacity(model, device, first, left));
    first += counts.back();
  }
  return counts;
}

// In proportion to memory, as exo's ring does.
Counts MemoryShares(const ModelConfig& model, const Fleet& fleet) {
  std::vector<double> shares;
  for (const PlannerDevice& device : fleet.devices) {
    shares.push_back(static_cast<double>(device.device.total_bytes()));
  }
  return InShares(model, shares);
}

// In proportion to the rate of operations, no device beyond what its memory holds of the weights:
// the least level at which min(capacity, level * rate) adds up to all layers. So does Parallax
// divide a pipeline (arXiv:2509.26182), its KV being sized afterwards.
Counts WaterFilling(const ModelConfig& model, const Fleet& fleet) {
  std::vector<double> capacity;
  for (const PlannerDevice& device : fleet.devices) {
    capacity.push_back(Capacity(model, device, 1, static_cast<int>(model.num_layers) - 2));
  }
  const auto at = [&](double level) {
    std::vector<double> shares;
    for (size_t i = 0; i < capacity.size(); ++i) {
      shares.push_back(std::min(capacity[i], level * fleet.devices[i].profile.flops_per_second()));
    }
    return shares;
  };
  double low = 0;
  double high = 1;
  for (int i = 0; i < 200; ++i) {
    const double level = (low + high) / 2;
    const std::vector<double> shares = at(level);
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    (sum < static_cast<double>(model.num_layers) ? low : high) = level;
  }
  return InShares(model, at(high));
}

// The layers that HexGen publishes for its eight cards, each stage's divided over its cards.
Counts Published(const ModelConfig&, const Fleet&) { return {12, 12, 12, 12, 10, 10, 6, 6}; }

v1::PlanOptions Options() {
  v1::PlanOptions options;
  options.set_context_tokens(kContextTokens);
  options.set_replicas(1);
  return options;
}

// "short by 1.2 GiB on p106" of a refusal.
std::string Lacking(const absl::Status& status) {
  const std::string message(status.message());
  const auto word_after = [&message](const std::string& mark, char end) {
    const size_t at = message.find(mark);
    if (at == std::string::npos) return std::string();
    const std::string rest = message.substr(at + mark.size());
    return rest.substr(0, rest.find(end));
  };
  const std::string bytes = word_after("short by ", 'B');
  const std::string worker = word_after("worker ", ' ');
  if (bytes.empty()) return message;
  return absl::StrCat("short by ", bytes, "B", worker.empty() ? "" : absl::StrCat(" on ", worker));
}

std::string Cell(const absl::StatusOr<v1::Plan>& plan) {
  if (!plan.ok()) return Lacking(plan.status());
  return absl::StrCat(FormatFigure(plan->predicted_tokens_per_second()), " tok/s, ",
                      FormatFigure(plan->predicted_token_seconds() * 1e3), " ms");
}

std::string Evaluate(const ModelConfig& model, const Fleet& fleet, const Counts& counts) {
  v1::PlanOptions options = Options();
  options.set_policy(v1::PlanOptions::POLICY_MANUAL);
  int first = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] <= 0) continue;
    v1::PlanOptions::LayerRange* range = options.add_manual();
    range->set_worker(fleet.devices[i].name);
    range->set_first_layer(first);
    range->set_num_layers(counts[i]);
    first += counts[i];
  }
  return Cell(MakePlan(model, fleet, options, "model"));
}

std::string Auto(const ModelConfig& model, const Fleet& fleet, std::string* layers) {
  const absl::StatusOr<v1::Plan> plan = MakePlan(model, fleet, Options(), "model");
  for (int i = 0; plan.ok() && i < plan->stages_size(); ++i) {
    absl::StrAppend(layers, i == 0 ? "" : "/", plan->stages(i).num_layers());
  }
  return Cell(plan);
}

void PrintRow(const Case& c, const char* name) {
  const auto model =
      SizeModel(absl::StrCat(LAYERCAKE_SOURCE_DIR, "/tests/configs/", name, ".json"));
  CHECK(model.ok()) << model.status();
  const auto fleet = ParseClusterFile(c.cluster, c.fleet);
  CHECK(fleet.ok()) << fleet.status();
  std::string layers;
  const std::string automatic = Auto(model->config, *fleet, &layers);
  std::printf("| %s | %s | **%s** (%s)", c.fleet, name, automatic.c_str(), layers.c_str());
  for (const auto& rule : {EvenShares, SequentialFill, MemoryShares, WaterFilling}) {
    std::printf(" | %s", Evaluate(model->config, *fleet, rule(model->config, *fleet)).c_str());
  }
  std::printf(" |\n");
  if (absl::StartsWith(c.fleet, "4 A6000 + 2 A5000")) {
    std::printf("| | as published: 48/20/12 | %s | | | | |\n",
                Evaluate(model->config, *fleet, Published(model->config, *fleet)).c_str());
  }
  std::fflush(stdout);
}

}  // namespace
}  // namespace layercake

int main() {
  std::printf(
      "| devices | model | auto (layers) | even shares | sequential fill | by memory | "
      "water-filling |\n|---|---|---|---|---|---|---|\n");
  for (const layercake::Case& c : layercake::Cases()) {
    for (const char* model : c.models) layercake::PrintRow(c, model);
  }
  return 0;
}
