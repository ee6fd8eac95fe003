#pragma once

// The command-line flags that say how a model is to be placed; the same in every program.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "layercake/v1/types.pb.h"

namespace layercake {

// Adds the plan flags to `app`, in the group "Placement". They fill `*options`, which must outlive
// parsing, as the command line (environment, config file) is parsed:
//
//   --policy auto|balanced|sequential|proportional|manual
//   --objective throughput|latency
//   --split 12,6                       shares, one per device; --policy proportional unless given
//   --layers m40=0-19,p106=20-31       inclusive ranges; --policy manual unless given
//   --max-memory 11GiB | m40=11GiB,... for all, or per worker; repeatable
//   --order a,b   --exclude a,b
//   --replicas N|auto
//   --context N|auto   --batch N   --step-tokens N
//   --reserve 512MiB | m40=1GiB,...    for all, or per worker; repeatable
//   --kv-type auto|f32|f16   --weights auto|f32|bf16|f16|int8|int4   --activations f32|bf16|f16
//
// Bad values end parsing with a CLI::ValidationError that says what was expected.
void AddPlanFlags(CLI::App& app, v1::PlanOptions* options);

// Those of the flags that the command line gave, as a shell takes them: "--policy auto",
// "--order a,b". The environment's are not among them.
// REQUIRES: `app` has been parsed.
std::vector<std::string> GivenPlanFlags(const CLI::App& app);

}  // namespace layercake
