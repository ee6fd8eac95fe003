#pragma once

// A plan as people read it.

#include <string>

#include "layercake/v1/types.pb.h"

namespace layercake {

// What the reader's screen can show.
struct PlanStyle {
  int width = 80;      // columns; at least 60 are used
  bool utf8 = false;   // shaded blocks, else ASCII
  bool color = false;  // ANSI colours
};

// Of more stages only the first are drawn, and of more sentences only the first are told.
inline constexpr int kMaxStagesListed = 64;

// Text ending in a newline: a bar per stage, all to one scale (weights, KV, workspace, reserve and
// headroom, of the memory available); the bytes and predicted milliseconds of each; the sentence
// why, once for all of whom it is the same; devices left out with their reasons; links; and the
// totals. Figures fit 80 columns while workers' names are short; sentences are wrapped at the
// style's width.
std::string FormatPlanTable(const v1::Plan& plan, const PlanStyle& style = {});

// "nccl (why)": how a loaded stage's activations get to the next one; "" for the last, and for a
// stage that is not loaded.
std::string DescribeLink(const v1::StagePlan& stage);

}  // namespace layercake
