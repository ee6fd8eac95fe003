#pragma once

// Which KV room one pipeline generates most with.
//
// Room for more sequences fills steps, and pushes layers to more and slower devices. Boxes of rooms
// are bounded by what relaxation.h says of the times at the least room and the shortest step of the
// box, and the best box is halved until it is one room (branch and bound).

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/placement/relaxation.h"
#include "coordinator/placement/step_tables.h"

namespace layercake {

class RoomSearch {
 public:
  // Of one pipeline on some of `devices`. Relies on steps of more sequences taking no less time.
  //   tables: must outlive this, and are asked for others by each call.
  RoomSearch(StepTableCache& tables, std::vector<int> devices);

  struct Promise {
    KvRoom room;
    double tokens_per_second = 0;  // no pipeline with this room generates more, nor with the next
  };
  // The room that promises most, and each but once. nullopt: no other promises more than `least`,
  // which is above 0 and no less than at the call before.
  std::optional<Promise> Next(double least);

  // False: no pipeline with that room generates as much.
  bool MayGenerate(const KvRoom& room, double tokens_per_second);

 private:
  struct Box {
    KvRoom least;
    KvRoom most;
    double tokens_per_second;  // at most

    bool IsOneRoom() const { return least == most; }
  };

  static bool MayGenerate(const SearchSpace& space, const Relaxation& relaxation, const Box& box,
                          double tokens_per_second);
  std::optional<Box> Bounded(Box box, double least);
  void Halve(const Box& box, double least);

  StepTableCache& tables_;
  const std::vector<int> devices_;
  std::vector<Box> boxes_;  // a heap, the most promising first
};

}  // namespace layercake
