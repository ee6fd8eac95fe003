#include "coordinator/placement/plan_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/bytes.h"
#include "common/base/text_table.h"

namespace layercake {
namespace {

std::string Bytes(uint64_t bytes) { return FormatBytes(static_cast<int64_t>(bytes)); }

std::string Layers(const v1::StagePlan& stage) {
  const int last = stage.first_layer() + stage.num_layers() - 1;
  std::string layers = stage.num_layers() == 1 ? absl::StrCat(stage.first_layer())
                                               : absl::StrCat(stage.first_layer(), "-", last);
  if (stage.has_embedding()) layers = absl::StrCat("embed+", layers);
  if (stage.has_head()) absl::StrAppend(&layers, "+head");
  return layers;
}

int64_t Headroom(const v1::StagePlan& stage) {
  return static_cast<int64_t>(stage.available_bytes()) -
         static_cast<int64_t>(stage.weight_bytes() + stage.kv_bytes() + stage.workspace_bytes() +
                              stage.reserve_bytes());
}

std::string StageRows(const v1::Plan& plan) {
  constexpr auto kRight = TextTable::Align::kRight;
  TextTable table({{"worker"},
                   {"layers"},
                   {"weights", kRight},
                   {"KV", kRight},
                   {"workspace", kRight},
                   {"reserve", kRight},
                   {"headroom", kRight},
                   {"decode ms", kRight},
                   {"prefill ms", kRight}});
  for (const v1::StagePlan& stage : plan.stages()) {
    table.AddRow(
        {stage.worker(), Layers(stage), Bytes(stage.weight_bytes()), Bytes(stage.kv_bytes()),
         Bytes(stage.workspace_bytes()), Bytes(stage.reserve_bytes()), FormatBytes(Headroom(stage)),
         FormatFigure(stage.decode_seconds() * 1e3), FormatFigure(stage.prefill_seconds() * 1e3)});
  }
  return table.Format();
}

}  // namespace

std::string FormatPlanTable(const v1::Plan& plan, int width) {
  const size_t columns = static_cast<size_t>(std::max(width, 60));
  std::string out =
      absl::StrCat("Plan for ", plan.model(), " (", plan.policy(), ")\n\n", StageRows(plan), "\n");
  for (const v1::StagePlan& stage : plan.stages()) {
    out += WrapText(absl::StrCat("  ", stage.worker(), ": "), stage.reason(), columns);
  }
  for (const v1::ExcludedDevice& excluded : plan.excluded()) {
    out += WrapText(absl::StrCat("  ", excluded.worker(), ": "),
                    absl::StrCat("left out, ", excluded.reason()), columns);
  }
  const int64_t kv_tokens = int64_t{plan.num_blocks()} * plan.block_size_tokens();
  out += "\n";
  out +=
      WrapText("  ",
               absl::StrFormat(
                   "Context %d tokens; %d KV blocks of %d tokens (%d tokens in all, %s); up to %d "
                   "sequences and %d tokens a step.",
                   plan.max_context_tokens(), plan.num_blocks(), plan.block_size_tokens(),
                   kv_tokens, plan.kv_type() == v1::KV_TYPE_F32 ? "f32" : "f16",
                   plan.max_batch_sequences(), plan.max_step_tokens()),
               columns);
  out += WrapText("  ",
                  absl::StrCat("Predicted: ", FormatFigure(plan.predicted_tokens_per_second()),
                               " tokens/s with all stages busy, ",
                               FormatFigure(plan.predicted_token_seconds() * 1e3),
                               " ms a token for one sequence alone."),
                  columns);
  return out;
}

}  // namespace layercake
