#pragma once

// The flags that say how to generate; the same in `run`, `chat` and the API.

#include <CLI/CLI.hpp>

#include "layercake/v1/inference.pb.h"

namespace layercake {

// Adds a flag per field of GenerateOptions, in the group "Generation". What is not given stays
// unset, so that the model's own defaults hold. `options` must outlive parsing; ranges are the
// coordinator's to judge.
void AddGenerationFlags(CLI::App& app, v1::GenerateOptions* options);

}  // namespace layercake
