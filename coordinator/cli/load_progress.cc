#include "coordinator/cli/load_progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/cli/output.h"

namespace layercake {
namespace {

constexpr size_t kBarWidth = 20;

std::string Bar(const v1::LoadModelProgress::Stage& stage) {
  if (stage.done()) return "done";
  const double share = stage.total_bytes() == 0
                           ? 0
                           : std::min(1.0, static_cast<double>(stage.loaded_bytes()) /
                                               static_cast<double>(stage.total_bytes()));
  const size_t filled = static_cast<size_t>(share * kBarWidth);
  return absl::StrCat("[", std::string(filled, '#'), std::string(kBarWidth - filled, '-'), "] ",
                      static_cast<int>(share * 100), "%");
}

}  // namespace

std::string FormatLoadProgress(const v1::LoadModelProgress& progress, size_t width) {
  std::string line = "Loading";
  for (const auto& stage : progress.stages()) {
    absl::StrAppend(&line, "  ", stage.worker(), " ", Bar(stage));
  }
  if (line.size() > width) line.resize(width);
  return line;
}

absl::StatusOr<v1::Plan> LoadModel(const Connection& connection, grpc::ClientContext& context,
                                   const v1::LoadModelRequest& request, std::ostream* terminal) {
  const auto reader = connection.admin().LoadModel(&context, request);
  v1::LoadModelProgress progress;
  v1::Plan plan;
  while (reader->Read(&progress)) {
    if (progress.has_plan()) plan = progress.plan();
    if (terminal == nullptr || progress.stages_size() == 0) continue;
    const size_t width = static_cast<size_t>(TerminalWidth()) - 1;
    *terminal << "\r\033[K" << FormatLoadProgress(progress, width) << std::flush;
  }
  if (terminal != nullptr) *terminal << "\r\033[K" << std::flush;
  LC_RETURN_IF_ERROR(connection.Explain(reader->Finish()));
  return plan;
}

}  // namespace layercake
