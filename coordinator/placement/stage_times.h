#pragma once

// What the searches know of a placement: plain tables of seconds. Nothing of models, bytes by kind
// or devices' names.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

namespace layercake {

inline constexpr double kDoesNotFit = std::numeric_limits<double>::infinity();

// The quickest stages on a device: [count], for 1 .. num_layers - 1 layers.
struct QuickestStages {
  std::vector<double> seconds;
  std::vector<double> longer;  // of at least so many layers

  // The most layers of a stage of at most that period; 0: there is none.
  int Most(double period) const {
    if (period == kDoesNotFit) period = std::numeric_limits<double>::max();
    return static_cast<int>(std::upper_bound(longer.begin() + 1, longer.end(), period) -
                            longer.begin()) -
           1;
  }
};

struct StageEnvelope {
  QuickestStages first;  // with the first layer of all
  QuickestStages middle;
  QuickestStages last;             // with the last layer of all
  double whole = kDoesNotFit;      // the stage of all layers
  double per_layer = kDoesNotFit;  // of any stage but that, the least of seconds / layers
};

// Seconds of every stage [first, first + count) on every device, or kDoesNotFit. Devices of one
// speed share a row of times, and what keeps a stage off one of them is its room, so that a
// thousand devices take little more space than the kinds they come in.
class StageTimes {
 public:
  // A row for each device; all kDoesNotFit at first.
  StageTimes(int num_devices, int num_layers);
  // rows: of each device, 0 <= row < num_rows.
  StageTimes(std::vector<int> rows, int num_rows, int num_layers);

  int num_devices() const { return static_cast<int>(rows_.size()); }
  int num_layers() const { return num_layers_; }
  // Devices of equal rows and room have the same times.
  int row(int device) const { return rows_[device]; }
  int64_t room(int device) const { return rooms_[device]; }

  // REQUIRES: 0 <= first, 1 <= count, first + count <= num_layers.
  double at(int device, int first, int count) const {
    const size_t stage = Stage(first, count);
    return needs_[stage] <= rooms_[device] ? seconds_[rows_[device] * stages_ + stage]
                                           : kDoesNotFit;
  }
  // Whether or not it fits anywhere.
  double seconds(int row, int first, int count) const {
    return seconds_[row * stages_ + Stage(first, count)];
  }
  void set(int row, int first, int count, double seconds) {
    envelopes_.clear();
    seconds_[row * stages_ + Stage(first, count)] = seconds;
  }
  // A stage fits the devices whose room is at least its need; both are 0 at first.
  void set_need(int first, int count, int64_t need) {
    envelopes_.clear();
    levels_.clear();
    needs_[Stage(first, count)] = need;
  }
  int64_t need(int first, int count) const { return needs_[Stage(first, count)]; }
  void set_room(int device, int64_t room) { rooms_[device] = room; }
  // [count]: where stages between the ends start of which each other one of as many layers is a
  // copy, in times and need; all start anywhere at first.
  void set_unlike_middles(std::vector<std::vector<int>> starts) {
    unlike_middles_ = std::move(starts);
  }

  // Made when it is first asked for, and kept until a time or a need is set.
  const StageEnvelope& envelope(int device) const;

 private:
  void FindLevels() const;
  size_t Stage(int first, int count) const {
    return static_cast<size_t>(first) * num_layers_ + count - 1;
  }

  int num_layers_;
  size_t stages_;
  std::vector<int> rows_;
  std::vector<int64_t> rooms_;
  std::vector<int64_t> needs_;
  std::vector<std::vector<int>> unlike_middles_;
  std::vector<double> seconds_;
  // Made when first asked for: all different needs, ascending; and by row and how many of them a
  // room holds, the envelopes.
  mutable std::vector<int64_t> levels_;
  mutable std::map<std::pair<int, int64_t>, StageEnvelope> envelopes_;
};

// Seconds that one step's activations take from device to device, one way.
class LinkTimes {
 public:
  // No link takes any time.
  explicit LinkTimes(int num_devices) : LinkTimes(std::vector<int>(num_devices, 0), {0}) {}
  // Devices of one port are reached alike and reach others alike.
  //   ports: of each device, 0 <= port < P.   seconds: [P, P] from, to; the diagonal is that
  //   between two devices of the port.
  LinkTimes(std::vector<int> ports, std::vector<double> seconds);

  int num_devices() const { return static_cast<int>(ports_.size()); }
  int num_ports() const { return num_ports_; }
  int port(int device) const { return ports_[device]; }
  double between_ports(int from, int to) const { return seconds_[from * num_ports_ + to]; }
  // REQUIRES: from != to.
  double at(int from, int to) const { return between_ports(ports_[from], ports_[to]); }

 private:
  std::vector<int> ports_;
  int num_ports_;
  std::vector<double> seconds_;
};

}  // namespace layercake
