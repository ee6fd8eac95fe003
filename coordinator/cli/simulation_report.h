#pragma once

// What a simulation found, in the form that `bench` has, so that the two can be laid side by side.

#include <string>

#include "coordinator/simulate/simulation.h"

namespace layercake {

std::string FormatSimulation(const LoadOptions& load, const SimulationResult& result);
// The keys of `layercake bench -o json`, and more.
std::string SimulationJson(const LoadOptions& load, const SimulationResult& result);

}  // namespace layercake
