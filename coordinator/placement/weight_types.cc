#include "coordinator/placement/weight_types.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "common/base/status_macros.h"
#include "common/model/costs.h"
#include "coordinator/placement/refusal.h"

namespace layercake {
namespace {

// A model that fits with less context than this is hardly one that fits.
constexpr int64_t kUsefulContextTokens = 4096;

// "m40 9.1 GiB of 11.3 GiB" for each device: weights, of the memory available.
std::string PerDevice(const v1::Plan& plan) {
  constexpr int kMostNamed = 8;
  std::vector<std::string> parts;
  for (const v1::StagePlan& stage : plan.stages()) {
    if (parts.size() == kMostNamed) {
      parts.push_back(absl::StrCat("... (", plan.stages_size(), " stages)"));
      break;
    }
    const auto weights = static_cast<int64_t>(stage.weight_bytes());
    parts.push_back(absl::StrCat(stage.worker(), " ", FormatBytes(weights), " of ",
                                 FormatBytes(static_cast<int64_t>(stage.available_bytes()))));
  }
  return absl::StrCat("fits: ", absl::StrJoin(parts, ", "));
}

// "needs 87.1 GiB, short by 18.7 GiB in total".
std::string Lacking(const v1::PlanRefusal& refusal) {
  const std::string needed = FormatBytes(static_cast<int64_t>(refusal.needed_bytes()));
  if (refusal.short_bytes() == 0) {
    return absl::StrCat("needs ", needed, ", which no cut of the layers fits in");
  }
  const std::string where =
      refusal.short_worker().empty() ? "in total" : absl::StrCat("on ", refusal.short_worker());
  return absl::StrCat("needs ", needed, ", short by ",
                      FormatBytes(static_cast<int64_t>(refusal.short_bytes())), " ", where);
}

struct Attempt {
  v1::WeightType type;
  absl::StatusOr<v1::Plan> plan;
};

std::vector<Attempt> TryAll(const ModelConfig& model, const Fleet& fleet, v1::PlanOptions options,
                            absl::string_view model_name) {
  std::vector<Attempt> attempts;
  std::vector<v1::WeightType> types = LessPreciseWeights(model);
  types.insert(types.begin(), WeightTypeOf(model));
  for (const v1::WeightType type : types) {
    options.set_weight_type(type);
    attempts.push_back({type, MakePlan(model, fleet, options, model_name)});
  }
  return attempts;
}

std::string Verdict(const absl::StatusOr<v1::Plan>& plan) {
  if (plan.ok()) return PerDevice(*plan);
  const std::optional<v1::PlanRefusal> refusal = RefusalOf(plan.status());
  return refusal.has_value() ? Lacking(*refusal) : std::string(plan.status().message());
}

v1::WeightProposal Propose(const ModelConfig& model, const Attempt& attempt) {
  const ModelConfig held = WithWeightType(model, attempt.type);
  v1::WeightProposal proposal;
  proposal.set_weight_type(attempt.type);
  proposal.set_weight_form(WeightForm(held));
  proposal.set_fits(attempt.plan.ok());
  proposal.set_weight_bytes(
      static_cast<uint64_t>(StageWeightBytes(held, {0, held.num_layers, true, true})));
  proposal.set_verdict(Verdict(attempt.plan));
  return proposal;
}

// Nothing fits: what each form would need, and the ways out of the least precise.
absl::Status RefuseAll(const ModelConfig& model, const std::vector<Attempt>& attempts) {
  std::optional<v1::PlanRefusal> refusal = RefusalOf(attempts.back().plan.status());
  if (!refusal.has_value()) return attempts.back().plan.status();
  for (const Attempt& attempt : attempts) {
    *refusal->add_weight_proposals() = Propose(model, attempt);
  }
  return ToStatus(*refusal);
}

}  // namespace

std::vector<v1::WeightType> LessPreciseWeights(const ModelConfig& model) {
  std::vector<v1::WeightType> types;
  if (WeightTypeOf(model) == v1::WEIGHT_TYPE_F32) types.push_back(v1::WEIGHT_TYPE_BF16);
  const int64_t bits = model.quantization ? model.quantization->bits : 16;
  if (bits > 8) types.push_back(v1::WEIGHT_TYPE_INT8);
  if (bits > 4) types.push_back(v1::WEIGHT_TYPE_INT4);
  return types;
}

std::string WeightForm(const ModelConfig& model) {
  if (WeightTypeOf(model) != v1::WEIGHT_TYPE_UNSPECIFIED) {
    return WeightTypeName(WeightTypeOf(model));
  }
  return absl::StrCat(model.quantization->method, " of ", model.quantization->bits, " bits");
}

absl::StatusOr<v1::Plan> PlanWithBestWeights(const ModelConfig& model, const Fleet& fleet,
                                             const v1::PlanOptions& options,
                                             absl::string_view model_name) {
  v1::PlanOptions useful = options;
  if (options.context_tokens() == 0) {
    useful.set_context_tokens(
        static_cast<int32_t>(std::min(model.max_context_tokens, kUsefulContextTokens)));
  }
  const auto fits = [](const Attempt& attempt) { return attempt.plan.ok(); };
  std::vector<Attempt> attempts = TryAll(model, fleet, useful, model_name);
  auto best = std::find_if(attempts.begin(), attempts.end(), fits);
  if (best == attempts.end() && options.context_tokens() == 0) {
    attempts = TryAll(model, fleet, options, model_name);
    best = std::find_if(attempts.begin(), attempts.end(), fits);
  }
  if (best == attempts.end()) return RefuseAll(model, attempts);
  v1::PlanOptions chosen = options;
  chosen.set_weight_type(best->type);
  LC_ASSIGN_OR_RETURN(v1::Plan plan, MakePlan(model, fleet, chosen, model_name));
  for (const Attempt& attempt : attempts) {
    *plan.add_weight_proposals() = Propose(model, attempt);
  }
  return plan;
}

}  // namespace layercake
