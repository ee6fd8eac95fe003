#pragma once

// The sets of a few devices, and how to divide all of them into some.

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/placement/search.h"

namespace layercake {

// So many pairs of a set and a subset are few enough to look at all: fourteen unlike devices' 3^14.
inline constexpr int64_t kMaxPairsToDivide = 4'782'969;

// Interchangeable devices count as one kind: a set says how many there are of each, and is a number
// of mixed base, a digit per kind. 0 is the empty set, the last one has all devices.
class DeviceSets {
 public:
  // nullopt: more than `most_pairs` pairs of a set and a subset of it.
  //   kinds: the devices of each, none empty.
  static std::optional<DeviceSets> Of(std::vector<std::vector<int>> kinds, int64_t most_pairs);

  int size() const { return static_cast<int>(parts_.size()); }
  // Of a set and a subset of it: as many steps as Divide takes, for each part if a number is given.
  int64_t num_pairs() const { return num_pairs_; }
  // The first of each kind, ascending.
  std::vector<int> devices(int set) const;
  int64_t num_subsets(int set) const;
  // Whether `part` is a subset of `set`.
  bool contains(int set, int part) const;

  struct Division {
    double value = 0;       // of its sets, added up
    std::vector<int> sets;  // disjoint
  };
  // The division of greatest value; devices may be left out. nullopt: there is none of any set.
  //   values: of each set but the empty one; not to be chosen where below 0.
  //   number: of sets; 0: any.
  //   with: gets the value of the best division that has each set, below 0 where there is none.
  std::optional<Division> Divide(const std::vector<double>& values, int number,
                                 std::vector<double>* with = nullptr) const;

  // Moves pipelines on the devices of each of the division's sets to such that no two share one.
  void MoveApart(const Division& division, std::vector<Pipeline>& pipelines) const;

 private:
  DeviceSets() = default;

  int count(int set, int kind) const {
    return set / stride_[kind] % (static_cast<int>(kinds_[kind].size()) + 1);
  }

  int64_t num_pairs_ = 1;
  std::vector<std::vector<int>> kinds_;
  std::vector<int> stride_;  // what one device of the kind adds
  // Of each set, those of its subsets that have a device of its last kind.
  std::vector<std::vector<int>> parts_;
  std::vector<int> without_one_;  // of its last kind
};

}  // namespace layercake
