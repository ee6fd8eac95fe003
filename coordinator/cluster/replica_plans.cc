#include "coordinator/cluster/replica_plans.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace layercake {

namespace {

// Of all that it lists: replicas run side by side, and the slowest answers last.
void SetPredicted(v1::Plan& plan) {
  double tokens = 0, prompt_tokens = 0, token_seconds = 0;
  for (const v1::ReplicaPrediction& prediction : plan.predictions()) {
    tokens += prediction.tokens_per_second();
    prompt_tokens += prediction.prompt_tokens_per_second();
    token_seconds = std::max(token_seconds, prediction.token_seconds());
  }
  plan.set_predicted_tokens_per_second(tokens);
  plan.set_predicted_prompt_tokens_per_second(prompt_tokens);
  plan.set_predicted_token_seconds(token_seconds);
}

}  // namespace

std::vector<v1::Plan> SplitReplicas(const v1::Plan& plan) {
  std::map<int, v1::Plan> replicas;
  for (const v1::StagePlan& stage : plan.stages()) {
    const auto [replica, inserted] = replicas.try_emplace(stage.replica(), plan);
    if (inserted) {
      replica->second.clear_stages();
      replica->second.clear_predictions();
    }
    *replica->second.add_stages() = stage;
  }
  for (const v1::ReplicaPrediction& prediction : plan.predictions()) {
    const auto replica = replicas.find(prediction.replica());
    if (replica != replicas.end()) *replica->second.add_predictions() = prediction;
  }
  std::vector<v1::Plan> plans;
  for (auto& [number, replica] : replicas) {
    SetPredicted(replica);
    plans.push_back(std::move(replica));
  }
  return plans;
}

v1::Plan JoinReplicas(const std::vector<v1::Plan>& replicas) {
  if (replicas.empty()) return v1::Plan();
  v1::Plan plan = replicas.front();
  const auto number = static_cast<int>(replicas.size());
  const bool whole = std::ranges::all_of(
      replicas, [number](const v1::Plan& replica) { return replica.num_replicas() == number; });
  if (!whole) plan.clear_optimality_gap();
  plan.set_num_replicas(number);
  for (size_t i = 1; i < replicas.size(); ++i) {
    const v1::Plan& other = replicas[i];
    plan.mutable_stages()->MergeFrom(other.stages());
    plan.mutable_predictions()->MergeFrom(other.predictions());
    plan.set_max_context_tokens(std::min(plan.max_context_tokens(), other.max_context_tokens()));
  }
  const auto by_replica = [](const auto& a, const auto& b) { return a.replica() < b.replica(); };
  std::stable_sort(plan.mutable_stages()->begin(), plan.mutable_stages()->end(), by_replica);
  std::stable_sort(plan.mutable_predictions()->begin(), plan.mutable_predictions()->end(),
                   by_replica);
  SetPredicted(plan);
  return plan;
}

v1::PlanOptions OptionsForWorkers(v1::PlanOptions options,
                                  const std::vector<std::string>& workers) {
  const std::set<std::string> here(workers.begin(), workers.end());
  const auto absent = [&here](const std::string& name) { return !here.contains(name); };
  const auto drop = [&absent](auto* names) {
    names->erase(std::remove_if(names->begin(), names->end(), absent), names->end());
  };
  const int num_ordered = options.order_size();
  drop(options.mutable_order());
  if (options.order_size() < num_ordered) options.clear_split();
  drop(options.mutable_exclude());
  auto* manual = options.mutable_manual();
  manual->erase(std::remove_if(manual->begin(), manual->end(),
                               [&](const auto& range) { return absent(range.worker()); }),
                manual->end());
  for (auto* sizes : {options.mutable_max_memory_bytes(), options.mutable_reserve_bytes()}) {
    for (auto size = sizes->begin(); size != sizes->end();) {
      size = size->first.empty() || !absent(size->first) ? std::next(size) : sizes->erase(size);
    }
  }
  return options;
}

v1::PlanOptions OptionsForOneMore(v1::PlanOptions options, const v1::Plan& in_force) {
  options.set_replicas(1);
  options.set_context_tokens(in_force.max_context_tokens());
  options.set_block_size_tokens(in_force.block_size_tokens());
  options.set_kv_type(in_force.kv_type());
  options.set_activation_type(in_force.activation_type());
  options.set_weight_type(in_force.weight_type());
  return options;
}

}  // namespace layercake
