#pragma once

// What a simulation found, in the form that `bench` has, so that the two can be laid side by side.

#include <string>

#include "coordinator/simulate/simulation.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Both end with the plan's notes: what the figures rely on.
std::string FormatSimulation(const LoadOptions& load, const SimulationResult& result,
                             const v1::Plan& plan);
// The keys of `layercake bench -o json`, and more.
std::string SimulationJson(const LoadOptions& load, const SimulationResult& result,
                           const v1::Plan& plan);

}  // namespace layercake
