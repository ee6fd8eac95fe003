#pragma once

// A cluster in a file, short enough to write by hand:
//
//   devices:
//     - {name: m40, card: tesla-m40, host: tower, free: 11.2GiB}
//     - {name: p106, card: p106-100, host: tower}
//     - {name: gpu, card: rtx-a6000, host: rack, count: 8}        # gpu-0 ... gpu-7
//     - {name: cpu, kind: cpu, host: tower, memory: 64GiB, bandwidth: 40GB/s, rate: 1TFLOPS}
//   links:
//     - {between: [tower, rack], bandwidth: 10Gbit/s, latency: 50us}   # hosts or devices
//     - {from: m40, to: p106, bandwidth: 6GB/s}                        # one way
//   defaults:
//     within_host: {bandwidth: 12GB/s, latency: 20us}
//     between_hosts: {bandwidth: 1Gbit/s, latency: 200us}
//
// A device names a card of the catalogue or its memory; compute_capability, bandwidth and rate
// say more or win over the card's, threads is for CPUs. `memory` is all there is, `free` what is
// free now, `cap` what may be used.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/placement/planner.h"

namespace layercake {

// Parses the text of a cluster file; `file` names it in messages.
// Errors: InvalidArgument, with file and line (no YAML, an unknown key, card or name, with the
// nearest known one, a value that is none, two devices of one name, no devices, more than 10,000
// devices or 100,000 links).
absl::StatusOr<Fleet> ParseClusterFile(absl::string_view text, absl::string_view file);

}  // namespace layercake
