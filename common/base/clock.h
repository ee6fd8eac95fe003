#pragma once

// The seam through which code reads time, so that tests can move it by hand.

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace layercake {

class Clock {
 public:
  virtual ~Clock() = default;
  // Never goes backwards for the real clock. Thread-safe.
  virtual absl::Time Now() const = 0;
  // The process-wide real clock; never null, never deleted.
  static const Clock* Real();
};

}  // namespace layercake
