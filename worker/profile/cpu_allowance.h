#pragma once

// What of the host's processors this process may use.

#include <string>

namespace layercake {

// "2 cores", or "2 cores, at most 0.5 of one" under a quota of its control group (version 1 or 2):
// profiles measured under other allowances are another device's.
std::string CpuAllowance();

}  // namespace layercake
