#pragma once

// A plan as people read it.

#include <string>

#include "layercake/v1/types.pb.h"

namespace layercake {

// Plain text, no colours, ending in a newline: one row per stage (layers, bytes by kind, headroom,
// predicted milliseconds), the sentence why, devices left out with their reasons, and the totals.
// Sentences are wrapped at `width` columns (at least 60); table rows may be wider.
std::string FormatPlanTable(const v1::Plan& plan, int width = 100);

}  // namespace layercake
