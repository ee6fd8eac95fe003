#pragma once

// The flags that say what load clients make; the same for `bench` and `simulate`.

#include <CLI/CLI.hpp>
#include <string>

#include "coordinator/simulate/load.h"

namespace layercake {

// Adds --requests, --concurrency, --arrival-rate, --prompt-tokens and --output-tokens ("128" or
// "64-512"), and --seed. They fill `*load`, which must outlive parsing.
void AddLoadFlags(CLI::App& app, LoadOptions* load);

// "128", or "64-512".
std::string FormatRange(const TokenRange& range);
// "8 at a time, 128 prompt and 64 output tokens each", say.
std::string FormatLoad(const LoadOptions& load);

}  // namespace layercake
