#pragma once

// The cluster as people read it.

#include <string>

#include "layercake/v1/admin.pb.h"

namespace layercake {

// A sentence on what is served, one on load, a row per worker, and the links between them.
std::string FormatStatus(const v1::ClusterStatus& status);

// Links with their bandwidth and latency, slowest first: a row for all that are alike, and of very
// many rows the first ones.
std::string FormatLinks(const google::protobuf::RepeatedPtrField<v1::Link>& links);

}  // namespace layercake
