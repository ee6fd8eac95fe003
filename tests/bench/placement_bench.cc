// Seconds of one core that whole plans take, and how far they can be from the best.

#include <cstdio>
#include <ctime>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/placement/planner.h"
#include "tests/coordinator/placement/fleets.h"

namespace layercake {
namespace {

void Measure(const std::string& name, const ModelConfig& model, const Fleet& fleet,
             v1::PlanOptions options) {
  for (const auto objective :
       {v1::PlanOptions::OBJECTIVE_THROUGHPUT, v1::PlanOptions::OBJECTIVE_LATENCY}) {
    const bool latency = objective == v1::PlanOptions::OBJECTIVE_LATENCY;
    if (latency && options.replicas() > 1) continue;  // one pipeline is all that it knows
    options.set_objective(objective);
    const std::clock_t begin = std::clock();
    const absl::StatusOr<v1::Plan> plan = MakePlan(model, fleet, options, "model");
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    if (!plan.ok()) {
      std::printf("%-34s %-10s %7.3f s  refused: %s\n", name.c_str(),
                  latency ? "latency" : "throughput", seconds,
                  std::string(plan.status().message().substr(0, 200)).c_str());
      continue;
    }
    std::printf(
        "%-34s %-10s %7.3f s  gap %5.2f%%  %3d stages  %d replicas  %8.1f tokens/s  %8.2f ms\n",
        name.c_str(), latency ? "latency" : "throughput", seconds, plan->optimality_gap() * 100,
        plan->stages_size(), plan->num_replicas(), plan->predicted_tokens_per_second(),
        plan->predicted_token_seconds() * 1e3);
  }
}

}  // namespace
}  // namespace layercake

int main() {
  using namespace layercake;  // NOLINT: a program
  v1::PlanOptions options;
  options.set_context_tokens(4096);
  for (const uint32_t seed : {1, 2, 3}) {
    Measure(absl::StrCat("14 unlike devices x 80, ample #", seed), Llama70B(),
            UnlikeDevices(seed, 14, 2.0), options);
    Measure(absl::StrCat("14 unlike devices x 80, tight #", seed), Llama70B(),
            UnlikeDevices(seed, 14, 1.25), options);
  }
  for (const uint32_t seed : {1, 2, 3}) {
    Measure(absl::StrCat("8 unlike devices x 80, replicas #", seed), Llama70B(),
            UnlikeDevices(seed, 8, 5.0), options);
    Measure(absl::StrCat("14 unlike devices x 80, replicas #", seed), Llama70B(),
            UnlikeDevices(seed, 14, 5.0), options);
    Measure(absl::StrCat("24 devices x 80, replicas #", seed), Llama70B(),
            MixedFleet(seed, 24, 8, 5.0, Llama70B()), options);
    Measure(absl::StrCat("100 devices x 80, replicas #", seed), Llama70B(),
            MixedFleet(seed, 100, 8, 8.0, Llama70B()), options);
    Measure(absl::StrCat("300 devices x 80, replicas #", seed), Llama70B(),
            MixedFleet(seed, 300, 8, 24.0, Llama70B()), options);
    Measure(absl::StrCat("1000 devices x 126, replicas #", seed), Llama405B(),
            MixedFleet(seed, 1000, 8, 40.0), options);
    Measure(absl::StrCat("100 hosts of ", seed, " kinds of card"), Llama70B(),
            HostsOfOneCard(100, static_cast<int>(seed)), options);
  }
  const std::vector<Card> cards = {
      {80e9, 2039e9, 300e12}, {24e9, 300e9, 120e12}, {24e9, 936e9, 70e12}};
  for (const size_t kinds : {1, 2, 3}) {
    const std::vector<Card> some(cards.begin(), cards.begin() + static_cast<int64_t>(kinds));
    Measure(absl::StrCat("6 hosts x 4 of ", kinds, " kinds"), Llama70B(), EqualHosts(6, 4, some),
            options);
    Measure(absl::StrCat("12 hosts x 8 of ", kinds, " kinds"), Llama70B(), EqualHosts(12, 8, some),
            options);
    Measure(absl::StrCat("125 hosts x 8 of ", kinds, " kinds"), Llama70B(),
            EqualHosts(125, 8, some), options);
  }
  for (const int replicas : {0, 1, 2, 3}) {
    v1::PlanOptions divided = options;
    divided.set_replicas(replicas);
    Measure(absl::StrCat("14 unlike hosts x 32, --replicas ", replicas), Llama3_8B(),
            UnlikeHosts(14), divided);
  }
  v1::PlanOptions single = options;
  single.set_replicas(1);
  for (const uint32_t seed : {1, 2, 3}) {
    Measure(absl::StrCat("1000 devices x 126, ample #", seed), Llama405B(),
            MixedFleet(seed, 1000, 8, 40.0), single);
    Measure(absl::StrCat("1000 devices x 126, tight #", seed), Llama405B(),
            MixedFleet(seed, 1000, 8, 7.0), single);
    Measure(absl::StrCat("100 devices x 80 #", seed), Llama70B(),
            MixedFleet(seed, 100, 6, 2.0, Llama70B()), single);
    Measure(absl::StrCat("24 devices x 80, tight #", seed), Llama70B(),
            MixedFleet(seed, 24, 3, 1.3, Llama70B()), single);
  }
}
