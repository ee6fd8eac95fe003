#pragma once

// How long something takes that is done over and over, on a machine that others may use.

#include <algorithm>
#include <numeric>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace layercake {

struct Timing {
  // The mean of the times that nothing interrupted: those up to four times the median. > 0.
  double typical_seconds = 0;
  double mean_seconds = 0;  // interruptions and pauses included
};

// Runs `body` until `patience` is over, at least three times.
inline Timing TimeRepeated(absl::Duration patience, absl::FunctionRef<void()> body) {
  constexpr size_t kFewest = 3;
  const absl::Time begin = Clock::Real()->Now();
  absl::Time now = begin;
  std::vector<double> times;
  while (times.size() < kFewest || now - begin < patience) {
    body();
    const absl::Time after = Clock::Real()->Now();
    times.push_back(std::max(absl::ToDoubleSeconds(after - now), 1e-9));
    now = after;
  }
  const double count = static_cast<double>(times.size());
  std::sort(times.begin(), times.end());
  const double longest = 4 * times[times.size() / 2];
  times.erase(std::upper_bound(times.begin(), times.end(), longest), times.end());
  return {.typical_seconds =
              std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size()),
          .mean_seconds = absl::ToDoubleSeconds(now - begin) / count};
}

}  // namespace layercake
