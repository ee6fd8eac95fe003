#pragma once

// How long something takes that is done over and over, on a machine that others may use.

#include <time.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "worker/device/device.h"
#include "worker/profile/cpu_allowance.h"

namespace layercake {

// Seconds that threads of this process were at work: the clock's; or of a number of threads that
// are all busy, the processors' time of each, which goes on only while they are not held back.
class BusyClock {
 public:
  //   metered_threads: so many are all busy; 0: what the clock says.
  explicit BusyClock(int metered_threads) : metered_threads_(metered_threads) {}
  // Under a quota processes are held back for most of a period.
  static BusyClock Of(const Device& device) {
    const bool held_back = device.kind() == DeviceKind::kCpu && CpuAllowance::Current().quota > 0;
    return BusyClock(held_back ? device.num_threads() : 0);
  }

  double Seconds() const {
    if (metered_threads_ == 0) {
      return absl::ToDoubleSeconds(Clock::Real()->Now() - absl::UnixEpoch());
    }
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec)) /
           metered_threads_;
  }

 private:
  int metered_threads_;
};

struct Timing {
  // The mean of the times that nothing interrupted: those up to four times the median. > 0.
  double typical_seconds = 0;
  double mean_seconds = 0;  // by the clock: interruptions and pauses included
};

// Runs `body` until `patience` is over, at least three times.
inline Timing TimeRepeated(const BusyClock& clock, absl::Duration patience,
                           absl::FunctionRef<void()> body) {
  constexpr size_t kFewest = 3;
  const absl::Time begin = Clock::Real()->Now();
  absl::Time now = begin;
  double busy = clock.Seconds();
  std::vector<double> times;
  while (times.size() < kFewest || now - begin < patience) {
    body();
    const double after = clock.Seconds();
    times.push_back(std::max(after - busy, 1e-9));
    busy = after;
    now = Clock::Real()->Now();
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
