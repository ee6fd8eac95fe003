#pragma once

// Which devices this host has, as its worker program says: the coordinator's side links no CUDA.

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Runs `worker_program --list-devices -o json`, whose stderr is ours.
// Errors: NotFound (no such program); DeadlineExceeded (a driver that hangs: the program is
// killed); Internal (it failed, or said something else).
absl::StatusOr<v1::DeviceList> ListLocalDevices(const std::string& worker_program,
                                                absl::Duration timeout);

}  // namespace layercake
