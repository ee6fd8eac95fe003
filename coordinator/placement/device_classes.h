#pragma once

// A large fleet's devices in few classes, and what stages cost on them, for searches that ask it of
// very many divisions and cannot look at every stage of every device.

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/stage_times.h"

namespace layercake {

// Seconds of the quickest stage of at least so many layers, [count] for 1 <= count < num_layers.
struct StageSeconds {
  std::vector<double> first;   // with the first layer of all
  std::vector<double> middle;  // with neither end
  std::vector<double> last;    // with the last layer of all
  double whole = kDoesNotFit;  // the stage of all layers
  // No stage of n layers takes less than its kind's overhead + n * per_layer.
  double first_overhead = 0;
  double middle_overhead = 0;
  double last_overhead = 0;
  double per_layer = 0;
  // Of the quickest link between a port of the class and another; kDoesNotFit: there is none.
  double to_others = kDoesNotFit;
  double longest_entry = 0;  // of the slowest such link, or one within a port
  double within_port = 0;    // of the quickest link within a port of the class; 0: there is none
  // Of the links to a device, on average, where all devices of its port follow each other: at
  // least.
  double link = 0;
};

// Of a step of so many sequences.
struct StepCosts {
  LinkTimes links;
  std::vector<double> to_others;  // [port], as in StageSeconds
  std::vector<StageSeconds> of_class;
};

// The most layers that a room holds.
struct StageRoom {
  int first = 0;
  int middle = 0;
  int last = 0;
  bool whole = false;
};

class DeviceClasses {
 public:
  // Where layers are unlike, what stages between the ends are taken to cost and need: the least of
  // any as long, to be never above it, or the most, to be able to keep it.
  enum class Middles { kLeast, kMost };

  // The classes are the same for both. REQUIRES: at least three layers. Both must outlive this.
  DeviceClasses(const CostModel& cost, const DeviceSelection& selection, Middles middles);

  int size() const { return static_cast<int>(classes_.size()); }
  // By index in the selection: about as fast, with about as much room and as good links to others.
  const std::vector<int>& devices(int cls) const { return classes_[cls].devices; }
  int class_of(int device) const { return class_of_[device]; }
  // Classes of one kind differ in room only.
  int kind(int cls) const { return classes_[cls].kind; }
  int64_t room(int device) const { return selection_.devices[device].usable_bytes(); }
  int64_t least_room(int cls) const { return classes_[cls].least_room; }
  int64_t most_room(int cls) const { return classes_[cls].most_room; }
  // Whether devices of a port of the class could hold the model among themselves.
  bool port_may_hold_all(int cls) const { return classes_[cls].port_may_hold_all; }
  // Devices of a port, at most.
  int largest_port() const { return *std::max_element(port_sizes_.begin(), port_sizes_.end()); }
  // Pairs of classes of which the first can all that the second can.
  std::vector<std::pair<int, int>> Dominating() const;

  // Each class at its quickest.
  const StepCosts& At(int64_t sequences) const;

  // KV bytes of a layer for that many sequences in flight, and for the context.
  int64_t KvBytes(int64_t in_flight) const;
  StageRoom RoomFor(int64_t kv_bytes, int64_t room) const;

 private:
  struct Class {
    std::vector<int> devices;
    int kind = 0;
    int64_t least_room = 0;
    int64_t most_room = 0;
    bool port_may_hold_all = false;
  };

  int64_t NeedOf(int first, int count) const;
  void FindNeeds();
  void TakeMostNeeds();
  std::vector<std::vector<double>> Traits(const StepCosts& step) const;
  StepCosts CostsOf(int64_t sequences) const;
  StageSeconds SecondsOf(const std::vector<int>& devices, int64_t sequences,
                         const StepCosts& step) const;

  const CostModel& cost_;
  const DeviceSelection& selection_;
  const Middles middles_;
  // Bytes of weights and workspace that a stage of at least so many layers needs, [count].
  std::vector<int64_t> first_needs_;
  std::vector<int64_t> middle_needs_;
  std::vector<int64_t> last_needs_;
  int64_t whole_needs_ = 0;
  std::vector<Class> classes_;
  std::vector<int> class_of_;
  std::vector<int> port_sizes_;
  mutable std::map<int64_t, StepCosts> steps_;
};

}  // namespace layercake
