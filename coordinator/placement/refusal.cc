#include "coordinator/placement/refusal.h"

#include <string>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace layercake {
namespace {

// As google.rpc details are keyed.
std::string TypeUrl() {
  return absl::StrCat("type.googleapis.com/", v1::PlanRefusal::descriptor()->full_name());
}

std::string Why(const v1::PlanRefusal& refusal) {
  if (refusal.weight_proposals().empty()) {
    return absl::StrCat(" does not fit: ", refusal.shortfall());
  }
  std::vector<std::string> forms;
  for (const v1::WeightProposal& proposal : refusal.weight_proposals()) {
    forms.push_back(absl::StrCat(proposal.weight_form(), " ", proposal.verdict()));
  }
  return absl::StrCat(" does not fit in any form of its weights: ", absl::StrJoin(forms, "; "),
                      ". For the last of these ", refusal.shortfall());
}

}  // namespace

absl::Status ToStatus(const v1::PlanRefusal& refusal) {
  absl::Status status = absl::ResourceExhaustedError(absl::StrCat(
      refusal.model(), Why(refusal), ". ",
      refusal.ways_out().empty()
          ? "No single change would make it fit; free memory or use a smaller model."
          : absl::StrCat(
                "Any of these would make it fit: ", absl::StrJoin(refusal.ways_out(), "; "), ".")));
  status.SetPayload(TypeUrl(), absl::Cord(refusal.SerializeAsString()));
  return status;
}

std::optional<v1::PlanRefusal> RefusalOf(const absl::Status& status) {
  const auto payload = status.GetPayload(TypeUrl());
  v1::PlanRefusal refusal;
  if (!payload.has_value() || !refusal.ParseFromString(std::string(*payload))) return std::nullopt;
  return refusal;
}

}  // namespace layercake
