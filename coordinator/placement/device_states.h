#pragma once

// The states of a search besides the layers placed: which devices are used, and which is the last.

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/placement/search.h"

namespace layercake {

// Devices with the same stage times and the same links to and from any other.
std::vector<std::vector<int>> InterchangeableDevices(const SearchSpace& space);

// A state is (set, kind of the last device). In any order a set says how many of each kind are
// used; in a given order, which device was the last, for none before it can follow. States are
// numbered so that each comes after those that lead to it.
class DeviceStates {
 public:
  // nullopt: more than `most` states. A given order has a state per device. Of a kind no more than
  // `most_of_kind` devices are told apart by number.
  static std::optional<DeviceStates> Of(const SearchSpace& space, int most, int most_of_kind);
  // For one pipeline, which has a layer for each device at least.
  static std::optional<DeviceStates> Of(const SearchSpace& space, int most) {
    return Of(space, most, space.times.num_layers());
  }

  bool in_order() const { return in_order_; }
  int num_kinds() const { return static_cast<int>(kinds_.size()); }
  const std::vector<int>& devices(int kind) const { return kinds_[kind]; }
  // In any order only.
  int num_sets() const { return num_sets_; }
  int num_states() const { return in_order_ ? num_kinds() : num_sets_ * num_kinds(); }

  int last(int state) const { return in_order_ ? state : state % num_kinds(); }
  int set(int state) const { return in_order_ ? state : state / num_kinds(); }
  // Not every (set, last) is: the last must be in the set.
  bool exists(int state) const { return in_order_ || (used_[set(state)] >> last(state) & 1) != 0; }
  // Whether the last device may be the only one.
  bool first(int state) const { return in_order_ || set(state) == stride_[last(state)]; }

  // visit(state) of each that `state` extends by its last device.
  template <typename Visit>
  void ForEachBefore(int state, Visit visit) const {
    if (in_order_) {
      for (int before = 0; before < state; ++before) visit(before);
      return;
    }
    const int without = set(state) - stride_[last(state)];
    for (uint32_t left = used_[without]; left != 0; left &= left - 1) {
      visit(without * num_kinds() + __builtin_ctz(left));
    }
  }

  // How many devices of `kind` are in `set`, in any order.
  int count(int set, int kind) const { return set / stride_[kind] % (limits_[kind] + 1); }
  // How many devices of `kind` may follow those of `set`.
  int left(int set, int kind) const {
    if (in_order_) return kind > set ? 1 : 0;
    return limits_[kind] - count(set, kind);
  }

 private:
  DeviceStates() = default;

  bool in_order_ = false;
  std::vector<std::vector<int>> kinds_;
  // In any order: a set is a number of mixed base, a digit per kind.
  std::vector<int> limits_;     // largest digit
  std::vector<int> stride_;     // what one device of the kind adds
  std::vector<uint32_t> used_;  // kinds of each set, as bits
  int num_sets_ = 0;
};

}  // namespace layercake
