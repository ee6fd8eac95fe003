#include "coordinator/placement/plan_table.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/bytes.h"
#include "common/base/text_table.h"
#include "common/model/activation_type.h"
#include "coordinator/placement/memory_bars.h"
#include "coordinator/placement/weight_types.h"

namespace layercake {
namespace {

// More links than this are summed up by the slowest.
constexpr int kMaxReplicasListed = 8;
constexpr int kMaxLinksListed = 8;

std::string Bytes(uint64_t bytes) { return FormatBytes(static_cast<int64_t>(bytes)); }

std::string Milliseconds(double seconds) {
  return absl::StrCat(FormatFigure(seconds * 1e3), " ms");
}

std::string StageRows(const v1::Plan& plan) {
  constexpr auto kRight = TextTable::Align::kRight;
  TextTable table({{"  worker"},
                   {"weights", kRight},
                   {"KV", kRight},
                   {"workspace", kRight},
                   {"reserve", kRight},
                   {"headroom", kRight},
                   {"decode", kRight},
                   {"prefill", kRight}});
  for (const v1::StagePlan& stage : plan.stages()) {
    table.AddRow({absl::StrCat("  ", stage.worker()), Bytes(stage.weight_bytes()),
                  Bytes(stage.kv_bytes()), Bytes(stage.workspace_bytes()),
                  Bytes(stage.reserve_bytes()), FormatBytes(HeadroomBytes(stage)),
                  Milliseconds(stage.decode_seconds()), Milliseconds(stage.prefill_seconds())});
  }
  return table.Format();
}

std::string Link(const v1::Plan& plan, int from, const PlanStyle& style) {
  const v1::StagePlan& stage = plan.stages(from);
  std::string text =
      absl::StrCat(stage.worker(), style.utf8 ? " → " : " -> ", plan.stages(from + 1).worker());
  if (stage.link_seconds() > 0) {
    const auto dtype = ActivationDType(plan.activation_type());
    absl::StrAppend(&text, " ", Milliseconds(stage.link_seconds()), " for ",
                    Bytes(stage.activation_bytes()), " of ", dtype.ok() ? DTypeName(*dtype) : "?");
  }
  if (!stage.link().empty()) absl::StrAppend(&text, " over ", DescribeLink(stage));
  return text;
}

// The links between stages, or of many the slowest; "" where nothing is handed on.
std::string Links(const v1::Plan& plan, const PlanStyle& style) {
  std::vector<int> links;
  for (int i = 0; i + 1 < plan.stages_size(); ++i) {
    if (plan.stages(i).link_seconds() > 0 || !plan.stages(i).link().empty()) links.push_back(i);
  }
  if (links.empty()) return "";
  std::string text = "Links, a step: ";
  if (static_cast<int>(links.size()) <= kMaxLinksListed) {
    for (const int i : links) {
      absl::StrAppend(&text, i == links.front() ? "" : "; ", Link(plan, i, style));
    }
    return text + ".";
  }
  const int slowest = *std::max_element(links.begin(), links.end(), [&plan](int a, int b) {
    return plan.stages(a).link_seconds() < plan.stages(b).link_seconds();
  });
  return absl::StrCat(text, links.size(), ", the slowest ", Link(plan, slowest, style), ".");
}

// "100 KV blocks of 16 tokens (1600 tokens in all, f16)"; of several replicas the fewest to the
// most.
std::string KvRoom(const v1::Plan& plan) {
  std::vector<int64_t> blocks;  // by replica
  for (const v1::StagePlan& stage : plan.stages()) {
    if (stage.first_layer() == 0) blocks.push_back(stage.num_blocks());
  }
  if (blocks.empty()) return "no KV blocks";
  const auto [fewest, most] = std::minmax_element(blocks.begin(), blocks.end());
  const int64_t in_all = std::accumulate(blocks.begin(), blocks.end(), int64_t{0});
  return absl::StrCat(*fewest, *most > *fewest ? absl::StrCat(" to ", *most) : "", " KV blocks of ",
                      plan.block_size_tokens(), " tokens",
                      blocks.size() > 1 ? " in each replica" : "", " (",
                      in_all * plan.block_size_tokens(), " tokens in all, ",
                      plan.kv_type() == v1::KV_TYPE_F32 ? "f32" : "f16", ")");
}

std::string Capacity(const v1::Plan& plan) {
  std::string text = absl::StrFormat("Context %d tokens", plan.max_context_tokens());
  if (plan.largest_context_tokens() > plan.max_context_tokens()) {
    absl::StrAppend(&text, " (up to ", plan.largest_context_tokens(), " would fit)");
  }
  return absl::StrCat(text, "; ", KvRoom(plan), "; up to ", plan.max_batch_sequences(),
                      " sequences and ", plan.max_step_tokens(), " tokens a step.");
}

std::string Predicted(const v1::Plan& plan) {
  std::string by_replica;
  if (plan.num_replicas() > 1 && plan.predictions_size() <= kMaxReplicasListed) {
    for (const v1::ReplicaPrediction& prediction : plan.predictions()) {
      absl::StrAppend(&by_replica, by_replica.empty() ? " (" : " + ",
                      FormatFigure(prediction.tokens_per_second()));
    }
    if (!by_replica.empty()) by_replica += ")";
  }
  return absl::StrCat("Predicted: ", FormatFigure(plan.predicted_tokens_per_second()),
                      " tokens/s with all stages busy", by_replica, ", ",
                      Milliseconds(plan.predicted_token_seconds()),
                      " a token for one sequence alone.");
}

std::string Optimality(const v1::Plan& plan) {
  if (plan.optimality_gap() <= 0) return "";
  return absl::StrFormat("No plan of these devices is more than %.2f%% better.",
                         plan.optimality_gap() * 100);
}

std::string Weights(const v1::Plan& plan, size_t columns) {
  std::string text;
  for (const v1::WeightProposal& proposal : plan.weight_proposals()) {
    text +=
        WrapText(absl::StrCat("  ", proposal.weight_form(), ": "),
                 absl::StrCat(Bytes(proposal.weight_bytes()), "; ", proposal.verdict()), columns);
  }
  return text;
}

}  // namespace

std::string DescribeLink(const v1::StagePlan& stage) {
  if (stage.link_reason().empty()) return stage.link();
  return absl::StrCat(stage.link(), " (", stage.link_reason(), ")");
}

std::string FormatPlanTable(const v1::Plan& plan, const PlanStyle& style) {
  const size_t columns = static_cast<size_t>(std::max(style.width, 60));
  std::string out = absl::StrCat("Plan for ", plan.model(), " (", plan.policy());
  if (plan.num_replicas() > 1) absl::StrAppend(&out, ", ", plan.num_replicas(), " replicas");
  absl::StrAppend(&out, ")\n\n", FormatMemoryBars(plan, style), "\n", StageRows(plan), "\n");
  for (const v1::StagePlan& stage : plan.stages()) {
    out += WrapText(absl::StrCat("  ", stage.worker(), ": "), stage.reason(), columns);
  }
  for (const v1::ExcludedDevice& excluded : plan.excluded()) {
    out += WrapText(absl::StrCat("  ", excluded.worker(), ": "),
                    absl::StrCat("left out, ", excluded.reason()), columns);
  }
  out += "\n";
  for (const std::string& sentence :
       {Links(plan, style), Capacity(plan), Predicted(plan), Optimality(plan)}) {
    if (!sentence.empty()) out += WrapText("  ", sentence, columns);
  }
  if (plan.weight_proposals_size() > 0) {
    absl::StrAppend(&out, "\n  Weights could be held as\n", Weights(plan, columns));
  }
  return out;
}

}  // namespace layercake
