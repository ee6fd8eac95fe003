#include "coordinator/placement/plan_table.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "common/base/text_groups.h"
#include "common/base/text_table.h"
#include "common/model/activation_type.h"
#include "coordinator/placement/memory_bars.h"
#include "coordinator/placement/weight_types.h"

namespace layercake {
namespace {

// More unlike links than this are summed up by the slowest.
constexpr size_t kMaxLinksListed = 8;
constexpr size_t kMaxReplicasListed = 8;

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
  for (int i = 0; i < std::min(plan.stages_size(), kMaxStagesListed); ++i) {
    const v1::StagePlan& stage = plan.stages(i);
    table.AddRow({absl::StrCat("  ", stage.worker()), Bytes(stage.weight_bytes()),
                  Bytes(stage.kv_bytes()), Bytes(stage.workspace_bytes()),
                  Bytes(stage.reserve_bytes()), FormatBytes(HeadroomBytes(stage)),
                  Milliseconds(stage.decode_seconds()), Milliseconds(stage.prefill_seconds())});
  }
  return table.Format();
}

using Groups = TextGroups<std::string>;

std::string Reasons(const v1::Plan& plan, size_t columns) {
  Groups reasons;
  for (const v1::StagePlan& stage : plan.stages()) reasons.Add(stage.worker(), stage.reason());
  for (const v1::ExcludedDevice& excluded : plan.excluded()) {
    reasons.Add(excluded.worker(), absl::StrCat("left out, ", excluded.reason()));
  }
  std::string text;
  const size_t told = std::min<size_t>(reasons.groups().size(), kMaxStagesListed);
  for (size_t i = 0; i < told; ++i) {
    const Groups::Group& group = reasons.groups()[i];
    text += WrapText(absl::StrCat("  ", group.Names(), ": "), group.saying, columns);
  }
  const size_t more = reasons.groups().size() - told;
  return more == 0 ? text : absl::StrCat(text, "  and ", more, " reasons more\n");
}

std::string Ends(const v1::Plan& plan, int from, const PlanStyle& style) {
  return absl::StrCat(plan.stages(from).worker(), style.utf8 ? " → " : " -> ",
                      plan.stages(from + 1).worker());
}

std::string Handing(const v1::Plan& plan, int from) {
  const v1::StagePlan& stage = plan.stages(from);
  std::string text;
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
  Groups alike;
  for (const int i : links) alike.Add(Ends(plan, i, style), Handing(plan, i));
  if (alike.groups().size() <= kMaxLinksListed) {
    return absl::StrCat(text,
                        absl::StrJoin(alike.groups(), "; ",
                                      [](std::string* out, const Groups::Group& group) {
                                        absl::StrAppend(out, group.Names(), group.saying);
                                      }),
                        ".");
  }
  const int slowest = *std::max_element(links.begin(), links.end(), [&plan](int a, int b) {
    return plan.stages(a).link_seconds() < plan.stages(b).link_seconds();
  });
  return absl::StrCat(text, links.size(), ", the slowest ", Ends(plan, slowest, style),
                      Handing(plan, slowest), ".");
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
  return absl::StrCat(text, "; ", KvRoom(plan), "; up to ",
                      Counted(plan.max_batch_sequences(), "sequence"), " and ",
                      Counted(plan.max_step_tokens(), "token"), " a step.");
}

// "43.3 tokens/s with all stages busy (2 sequences of 2048 tokens a step, 4 in flight), 83.7 ms a
// token for one sequence alone".
std::string Rates(const v1::ReplicaPrediction& prediction) {
  std::string busy;
  if (prediction.step_sequences() > 0) {
    busy = absl::StrCat(" (", Counted(prediction.step_sequences(), "sequence"), " of ",
                        prediction.sequence_tokens(), " tokens a step, ",
                        prediction.sequences_in_flight(), " in flight)");
  }
  return absl::StrCat(FormatFigure(prediction.tokens_per_second()),
                      " tokens/s with all stages busy", busy, ", ",
                      Milliseconds(prediction.token_seconds()), " a token for one sequence alone");
}

std::string Predicted(const v1::Plan& plan) {
  if (plan.predictions_size() == 1) {
    return absl::StrCat("Predicted: ", Rates(plan.predictions(0)), ".");
  }
  v1::ReplicaPrediction all;
  all.set_tokens_per_second(plan.predicted_tokens_per_second());
  all.set_token_seconds(plan.predicted_token_seconds());
  return absl::StrCat("Predicted: ", Rates(all),
                      plan.predictions_size() > 1 ? " in the slowest replica." : ".");
}

// Of several replicas a line each, or one for neighbours of which the same is predicted.
std::string ByReplica(const v1::Plan& plan, size_t columns) {
  if (plan.predictions_size() < 2) return "";
  std::vector<std::string> lines;
  for (int first = 0, end = 0; first < plan.predictions_size(); first = end) {
    const std::string rates = Rates(plan.predictions(first));
    while (end < plan.predictions_size() && Rates(plan.predictions(end)) == rates) ++end;
    const int from = plan.predictions(first).replica();
    const int to = plan.predictions(end - 1).replica();
    lines.push_back(from == to ? absl::StrCat("replica ", from, ": ", rates)
                               : absl::StrCat("replicas ", from, "-", to, ", each: ", rates));
  }
  std::string text;
  for (size_t i = 0; i < std::min(lines.size(), kMaxReplicasListed); ++i) {
    text += WrapText("    ", lines[i], columns);
  }
  if (lines.size() <= kMaxReplicasListed) return text;
  return absl::StrCat(text, "    and ", lines.size() - kMaxReplicasListed, " more\n");
}

std::string Optimality(const v1::Plan& plan) {
  if (!plan.has_optimality_gap()) return "";
  if (plan.optimality_gap() <= 0) {
    return "Proven best: no plan of these devices, as asked for, is predicted to be better.";
  }
  if (plan.optimality_gap() < 0.0001) return "No plan of these devices is 0.01% better.";
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
  absl::StrAppend(&out, Reasons(plan, columns), "\n");
  for (const std::string& sentence : {Links(plan, style), Capacity(plan), Predicted(plan)}) {
    if (!sentence.empty()) out += WrapText("  ", sentence, columns);
  }
  out += ByReplica(plan, columns);
  if (const std::string sentence = Optimality(plan); !sentence.empty()) {
    out += WrapText("  ", sentence, columns);
  }
  for (const std::string& note : plan.notes()) out += WrapText("  ", note, columns);
  if (plan.weight_proposals_size() > 0) {
    absl::StrAppend(&out, "\n  Weights could be held as\n", Weights(plan, columns));
  }
  return out;
}

}  // namespace layercake
