#pragma once

// Loading, as it goes, on one line of a terminal.

#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/cli/connection.h"
#include "layercake/v1/admin.pb.h"

namespace layercake {

// "cpu-0 [#####-----] 50%  cpu-1 done": at most `width` characters.
std::string FormatLoadProgress(const v1::LoadModelProgress& progress, size_t width);

// Calls LoadModel and draws its progress on `terminal` (nullptr: nowhere) until it ends. `context`
// may be cancelled from another thread. Returns the plan in force.
absl::StatusOr<v1::Plan> LoadModel(const Connection& connection, grpc::ClientContext& context,
                                   const v1::LoadModelRequest& request, std::ostream* terminal);

}  // namespace layercake
