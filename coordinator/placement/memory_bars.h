#pragma once

// The memory of a plan's devices, drawn.

#include <string>

#include "coordinator/placement/plan_table.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// A line per stage (its worker, a bar, its layers) and one that says which shade is what. Bars are
// to one scale, and every kind of bytes that a stage has at all is at least one cell of its bar.
std::string FormatMemoryBars(const v1::Plan& plan, const PlanStyle& style);

// "embed+0-15", "31+head".
std::string FormatLayers(const v1::StagePlan& stage);

// What is left of the available bytes; below 0 where more is planned than there is.
int64_t HeadroomBytes(const v1::StagePlan& stage);

}  // namespace layercake
