#include "coordinator/cluster/replica_plans.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace layercake {

std::vector<v1::Plan> SplitReplicas(const v1::Plan& plan) {
  std::map<int, v1::Plan> replicas;
  for (const v1::StagePlan& stage : plan.stages()) {
    const auto [replica, inserted] = replicas.try_emplace(stage.replica(), plan);
    if (inserted) replica->second.clear_stages();
    *replica->second.add_stages() = stage;
  }
  std::vector<v1::Plan> plans;
  for (auto& [number, replica] : replicas) {
    replica.set_num_replicas(1);
    replica.set_predicted_tokens_per_second(plan.predicted_tokens_per_second() /
                                            static_cast<double>(replicas.size()));
    plans.push_back(std::move(replica));
  }
  return plans;
}

v1::Plan JoinReplicas(const std::vector<v1::Plan>& replicas) {
  if (replicas.empty()) return v1::Plan();
  v1::Plan plan = replicas.front();
  plan.set_num_replicas(static_cast<int>(replicas.size()));
  for (size_t i = 1; i < replicas.size(); ++i) {
    const v1::Plan& other = replicas[i];
    plan.mutable_stages()->MergeFrom(other.stages());
    plan.set_max_context_tokens(std::min(plan.max_context_tokens(), other.max_context_tokens()));
    plan.set_predicted_tokens_per_second(plan.predicted_tokens_per_second() +
                                         other.predicted_tokens_per_second());
    plan.set_predicted_token_seconds(
        std::max(plan.predicted_token_seconds(), other.predicted_token_seconds()));
  }
  std::stable_sort(plan.mutable_stages()->begin(), plan.mutable_stages()->end(),
                   [](const auto& a, const auto& b) { return a.replica() < b.replica(); });
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
