#include "coordinator/placement/ways_out.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/model/weight_type.h"
#include "coordinator/placement/weight_types.h"

namespace layercake {
namespace {

constexpr int64_t kGrainBytes = int64_t{1} << 20;

// The largest of [low, high] that is `enough`, where all below one that is are too; 0: none is.
int64_t LargestEnough(int64_t low, int64_t high, absl::FunctionRef<bool(int64_t)> enough) {
  if (low > high || !enough(low)) return 0;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (enough(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// What workers do not report is free beyond caps of their own: the total is the best case.
Fleet WithoutCaps(Fleet fleet) {
  for (PlannerDevice& device : fleet.devices) {
    v1::Device& with = device.device;
    if (with.cap_bytes() > 0 && with.free_bytes() <= with.cap_bytes()) {
      with.set_free_bytes(std::max(with.free_bytes(), with.total_bytes()));
    }
    with.clear_cap_bytes();
  }
  return fleet;
}

class Trials {
 public:
  Trials(const PlanningProblem& problem, const ModelConfig& checkpoint, const Fleet& fleet)
      : problem_(problem), checkpoint_(checkpoint), fleet_(fleet) {}

  std::vector<std::string> Run() {
    if (const int64_t context = LargestFeasibleContext(problem_); context > 0) {
      ways_.push_back(absl::StrCat("--context ", context));
    }
    TryWeights();
    TrySteps();
    if (problem_.limits.kv_dtype == DType::kF32) {
      Try("--kv-type f16", [](v1::PlanOptions& options) { options.set_kv_type(v1::KV_TYPE_F16); });
    }
    TryReplicas();
    TryArrangements();
    TryMemory();
    TryAnotherDevice();
    return std::move(ways_);
  }

 private:
  using Change = absl::FunctionRef<void(v1::PlanOptions&)>;

  bool Fits(const v1::PlanOptions& options, const Fleet& fleet, bool any_order = false) const {
    const ModelConfig model = WithWeightType(checkpoint_, options.weight_type());
    absl::StatusOr<PlanningProblem> problem =
        MakeProblem(model, fleet, options, problem_.model_name);
    if (!problem.ok()) return false;
    problem->limits.max_context_tokens = problem_.limits.max_context_tokens;
    if (any_order) problem->selection.in_order = false;
    return Feasible(*problem);
  }

  bool FitsWith(Change change) const {
    v1::PlanOptions options = problem_.options;
    change(options);
    return Fits(options, fleet_);
  }

  bool Try(const std::string& words, Change change) {
    const bool fits = FitsWith(change);
    if (fits) ways_.push_back(words);
    return fits;
  }

  void TryWeights() {
    for (const v1::WeightType type : LessPreciseWeights(problem_.model)) {
      if (!CheckMakeable(checkpoint_, type).ok()) continue;
      if (Try(absl::StrCat("--weights ", WeightTypeName(type)),
              [type](v1::PlanOptions& options) { options.set_weight_type(type); })) {
        return;
      }
    }
  }

  // Workspace is for the sequences and tokens of a step.
  void TrySteps() {
    const StageLimits& limits = problem_.limits;
    const auto batch_fits = [this](int64_t batch) {
      return FitsWith([batch](v1::PlanOptions& options) {
        options.set_batch_sequences(static_cast<int32_t>(batch));
      });
    };
    const auto tokens_fit = [this](int64_t tokens) {
      return FitsWith([tokens](v1::PlanOptions& options) {
        options.set_step_tokens(static_cast<int32_t>(tokens));
      });
    };
    const int64_t batch = LargestEnough(1, limits.max_batch_sequences - 1, batch_fits);
    const int64_t tokens =
        LargestEnough(limits.max_batch_sequences, limits.max_step_tokens - 1, tokens_fit);
    if (batch > 0) ways_.push_back(absl::StrCat("--batch ", batch));
    if (tokens > 0) ways_.push_back(absl::StrCat("--step-tokens ", tokens));
    if (batch > 0 || tokens > 0 || limits.max_step_tokens <= 32) return;
    Try("--step-tokens 32 with --batch 1", [](v1::PlanOptions& options) {
      options.set_step_tokens(32);
      options.set_batch_sequences(1);
    });
  }

  void TryReplicas() {
    const int64_t most =
        LargestEnough(1, problem_.options.replicas() - 1, [this](int64_t replicas) {
          return FitsWith([replicas](v1::PlanOptions& options) {
            options.set_replicas(static_cast<int32_t>(replicas));
          });
        });
    if (most > 0) ways_.push_back(absl::StrCat("--replicas ", most));
  }

  void TryArrangements() {
    const v1::PlanOptions& asked = problem_.options;
    if (asked.policy() != v1::PlanOptions::POLICY_AUTO) {
      Try(absl::StrCat("--policy auto", problem_.manual()        ? " without --layers"
                                        : asked.split_size() > 0 ? " without --split"
                                                                 : ""),
          [](v1::PlanOptions& options) {
            options.set_policy(v1::PlanOptions::POLICY_AUTO);
            options.clear_manual();
            options.clear_split();
          });
    }
    if (asked.order_size() > 0) {
      v1::PlanOptions all = asked;
      all.clear_order();
      if (Fits(asked, fleet_, /*any_order=*/true)) {
        ways_.push_back("another --order");
      } else if (Fits(all, fleet_, /*any_order=*/true)) {
        ways_.push_back("an --order that names all workers");
      }
    }
    if (asked.exclude_size() > 0) {
      Try("without --exclude", [](v1::PlanOptions& options) { options.clear_exclude(); });
    }
  }

  void TryMemory() {
    int64_t reserve = 0;
    for (const UsableDevice& device : problem_.selection.devices) {
      reserve = std::max(reserve, device.reserve_bytes);
    }
    const int64_t least = LargestEnough(1, reserve / kGrainBytes - 1, [this](int64_t grains) {
      return FitsWith([grains](v1::PlanOptions& options) {
        options.clear_reserve_bytes();
        (*options.mutable_reserve_bytes())[""] = static_cast<uint64_t>(grains * kGrainBytes);
      });
    });
    if (least > 0) ways_.push_back(absl::StrCat("--reserve ", least, "MiB"));
    v1::PlanOptions uncapped = problem_.options;
    uncapped.clear_max_memory_bytes();
    if (Fits(uncapped, fleet_)) {
      ways_.push_back("a higher --max-memory");
    } else if (Fits(uncapped, WithoutCaps(fleet_))) {
      ways_.push_back(absl::StrCat(
          "higher caps of the workers' own (a worker's --memory, cap in a cluster file)",
          problem_.options.max_memory_bytes().empty() ? "" : " and of --max-memory",
          ", where that much is free"));
    }
  }

  // As large as need be, after all others or (the order is free) anywhere.
  void TryAnotherDevice() {
    PlanningProblem larger = problem_;
    if (problem_.manual() || larger.selection.devices.size() > kMaxDevicesToProbe) return;
    larger.selection.devices.emplace_back();
    UsableDevice& device = larger.selection.devices.back();
    device.speed = problem_.selection.devices.front().speed;
    device.crowded_speed = problem_.selection.devices.front().crowded_speed;
    const auto enough = [&](int64_t bytes) {
      device.available_bytes = bytes;
      return Feasible(larger);
    };
    const CostModel cost = problem_.cost();
    const int all = cost.num_layers();
    const int64_t most = cost.WeightBytes(0, all) + cost.WorkspaceBytes(0, all) +
                         cost.BlockBytes(0, all) * cost.context_blocks();
    const int64_t least = LeastEnough(most, enough);
    if (!enough(least)) return;
    ways_.push_back(
        absl::StrCat("one more worker with ", FormatBytes(least), " to give beside its reserve"));
  }

  const PlanningProblem& problem_;
  const ModelConfig& checkpoint_;
  const Fleet& fleet_;
  std::vector<std::string> ways_;
};

}  // namespace

int64_t LeastEnough(int64_t most, absl::FunctionRef<bool(int64_t)> enough) {
  int64_t low = 1;
  int64_t high = most / kGrainBytes + 1;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (enough(middle * kGrainBytes)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return high * kGrainBytes;
}

std::vector<std::string> WaysOut(const PlanningProblem& problem, const ModelConfig& checkpoint,
                                 const Fleet& fleet) {
  return Trials(problem, checkpoint, fleet).Run();
}

}  // namespace layercake
