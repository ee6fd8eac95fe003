#pragma once

// How fast a device is, in the form that stage times are computed from.

#include <array>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/model/config.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Measured seconds per byte read, by how many rows are multiplied with each byte, and by how much
// is read round and round. Between the points measured it is linear in rows and in the logarithm of
// the working set; more rows than measured take proportionally longer, as they fill the arithmetic.
class StreamTable {
 public:
  // The rates of `format` among `rates`; those that are no rates are passed over.
  StreamTable() = default;
  StreamTable(const google::protobuf::RepeatedPtrField<v1::StreamRate>& rates,
              absl::string_view format);

  bool empty() const { return curves_.empty(); }
  // Most rows that were measured. REQUIRES: not empty, as all below.
  double most_rows() const { return curves_.front().points.back().rows; }
  double SecondsPerByte(double rows, double working_set_bytes) const;

  // Where of the bytes a second that one row reads only `share_of(log of the working set)` is left:
  // as many rows as wait for memory take longer, those that wait for arithmetic do not.
  StreamTable Crowded(absl::FunctionRef<double(double log_working_set)> share_of) const;
  // `factor` times as slow.
  StreamTable Slowed(double factor) const;

  bool operator==(const StreamTable&) const = default;

 private:
  struct Point {
    double rows;
    double seconds_per_byte;
    bool operator==(const Point&) const = default;
  };
  struct Curve {
    double log_working_set;
    std::vector<Point> points;  // by rows
    bool operator==(const Curve&) const = default;
  };
  static double At(const Curve& curve, double rows);

  std::vector<Curve> curves_;  // by working set
};

// `bytes_per_second` and `flops_per_second` are > 0 always, the rest where it was measured.
struct DeviceSpeed {
  double bytes_per_second = 0;         // streamed by the decode product
  double flops_per_second = 0;         // of the prefill product
  std::array<StreamTable, 3> weights;  // by DType
  StreamTable int8;                    // in groups, as are the next
  StreamTable int4;
  std::array<StreamTable, 3> kv;  // by DType
  double layer_seconds = 0;
  double seconds_per_activation_value = 0;
  double seconds_per_logit = 0;

  const StreamTable& weights_of(DType dtype) const { return weights[static_cast<size_t>(dtype)]; }
  // REQUIRES: bits is 4 or 8.
  const StreamTable& integers_of(int64_t bits) const { return bits == 4 ? int4 : int8; }
  const StreamTable& kv_of(DType dtype) const { return kv[static_cast<size_t>(dtype)]; }

  bool operator==(const DeviceSpeed&) const = default;
};

// The measured profile, or a modest guess for what was not measured.
DeviceSpeed SpeedOf(const v1::Device& device, const v1::DeviceProfile& profile);

// What is left of it while other CPU workers of the host compute too: they share the memory's
// bandwidth, as the profile has it, and where there are more threads than cores, the cores.
//   threads_per_core: of all CPU workers of the host.
DeviceSpeed CrowdedSpeedOf(const v1::Device& device, const v1::DeviceProfile& profile,
                           double threads_per_core);

}  // namespace layercake
