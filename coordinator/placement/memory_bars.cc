#include "coordinator/placement/memory_bars.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/text_table.h"

namespace layercake {
namespace {

struct Shade {
  const char* name;
  const char* block;
  const char* ascii;
  const char* color;
};

constexpr std::array<Shade, 5> kShades = {{{"weights", "█", "#", "\x1b[34m"},
                                           {"KV", "▓", "=", "\x1b[32m"},
                                           {"workspace", "▒", "+", "\x1b[33m"},
                                           {"reserve", "░", "-", "\x1b[90m"},
                                           {"headroom", "·", ".", "\x1b[90m"}}};
constexpr char kPlain[] = "\x1b[0m";

std::string Cells(const Shade& shade, size_t count, const PlanStyle& style) {
  if (count == 0) return "";
  std::string cells = style.color ? shade.color : "";
  for (size_t i = 0; i < count; ++i) cells += style.utf8 ? shade.block : shade.ascii;
  if (style.color) cells += kPlain;
  return cells;
}

std::array<uint64_t, 5> Kinds(const v1::StagePlan& stage) {
  return {stage.weight_bytes(), stage.kv_bytes(), stage.workspace_bytes(), stage.reserve_bytes(),
          static_cast<uint64_t>(std::max<int64_t>(0, HeadroomBytes(stage)))};
}

// Cells of each kind of bytes: at least one of what there is, the largest kind giving way.
std::array<size_t, 5> CellsOf(const v1::StagePlan& stage, size_t width) {
  const std::array<uint64_t, 5> bytes = Kinds(stage);
  double total = 0;
  for (const uint64_t kind : bytes) total += static_cast<double>(kind);
  std::array<size_t, 5> cells{};
  size_t used = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == 0) continue;
    const double share = static_cast<double>(bytes[i]) / total;
    cells[i] = std::max<size_t>(1, std::lround(share * static_cast<double>(width)));
    used += cells[i];
  }
  for (; used > width; --used) --*std::max_element(cells.begin(), cells.end());
  for (; used > 0 && used < width; ++used) ++*std::max_element(cells.begin(), cells.end());
  return cells;
}

std::string Padding(size_t width, const std::string& text) {
  return std::string(width - std::min(width, DisplayWidth(text)), ' ');
}

std::string Legend(const PlanStyle& style) {
  std::string legend;
  for (const Shade& shade : kShades) {
    absl::StrAppend(&legend, legend.empty() ? "" : "   ", Cells(shade, 1, style), " ", shade.name);
  }
  return legend;
}

}  // namespace

std::string FormatLayers(const v1::StagePlan& stage) {
  const int last = stage.first_layer() + stage.num_layers() - 1;
  std::string layers = stage.num_layers() == 1 ? absl::StrCat(stage.first_layer())
                                               : absl::StrCat(stage.first_layer(), "-", last);
  if (stage.has_embedding()) layers = absl::StrCat("embed+", layers);
  if (stage.has_head()) absl::StrAppend(&layers, "+head");
  return layers;
}

int64_t HeadroomBytes(const v1::StagePlan& stage) {
  return static_cast<int64_t>(stage.available_bytes()) -
         static_cast<int64_t>(stage.weight_bytes() + stage.kv_bytes() + stage.workspace_bytes() +
                              stage.reserve_bytes());
}

std::string FormatMemoryBars(const v1::Plan& plan, const PlanStyle& style) {
  const auto layers_of = [&plan](const v1::StagePlan& stage) {
    const bool several = plan.num_replicas() > 1;
    return absl::StrCat(FormatLayers(stage),
                        several ? absl::StrCat(" of replica ", stage.replica()) : "");
  };
  size_t names = 0;
  size_t layers = 0;
  uint64_t largest = 1;
  for (const v1::StagePlan& stage : plan.stages()) {
    names = std::max(names, DisplayWidth(stage.worker()));
    layers = std::max(layers, DisplayWidth(layers_of(stage)));
    largest = std::max<uint64_t>(largest, stage.available_bytes());
  }
  constexpr size_t kSizeWidth = 8;  // "11.5 GiB"
  const size_t taken = names + layers + kSizeWidth + 8;
  const size_t width = static_cast<size_t>(std::clamp(style.width, 60, 120));
  const size_t full = width > taken + 10 ? width - taken : 10;
  std::string out;
  for (int i = 0; i < std::min(plan.stages_size(), kMaxStagesListed); ++i) {
    const v1::StagePlan& stage = plan.stages(i);
    const double share =
        static_cast<double>(stage.available_bytes()) / static_cast<double>(largest);
    // Five kinds of bytes need five cells.
    const size_t bar = std::clamp<size_t>(
        static_cast<size_t>(std::lround(share * static_cast<double>(full))), 5, full);
    const std::array<size_t, 5> cells = CellsOf(stage, bar);
    const std::string size = FormatBytes(static_cast<int64_t>(stage.available_bytes()));
    absl::StrAppend(&out, "  ", stage.worker(), Padding(names, stage.worker()), "  ");
    for (size_t kind = 0; kind < cells.size(); ++kind) {
      out += Cells(kShades[kind], cells[kind], style);
    }
    absl::StrAppend(&out, std::string(full - bar, ' '), "  ", Padding(kSizeWidth, size), size, "  ",
                    layers_of(stage), "\n");
  }
  if (plan.stages_size() > kMaxStagesListed) {
    absl::StrAppend(&out, "  and ", plan.stages_size() - kMaxStagesListed, " stages more\n");
  }
  return absl::StrCat(out, "\n  ", Legend(style), "\n");
}

}  // namespace layercake
