#pragma once

// The cluster as people read it.

#include <string>

#include "layercake/v1/admin.pb.h"

namespace layercake {

// A sentence on what is served, one on load, and a row per worker.
std::string FormatStatus(const v1::ClusterStatus& status);

// Links with their latency and bandwidth, a row each.
std::string FormatLinks(const google::protobuf::RepeatedPtrField<v1::Link>& links);

}  // namespace layercake
