#pragma once

// What of the host's processors this process may use.

#include <string>

namespace layercake {

struct CpuAllowance {
  int cores = 0;
  // Of one core, on average: the quota of the process's control group (version 1 or 2); 0: none.
  double quota = 0;
  double period_seconds = 0;  // the quota is so many of them for each

  static CpuAllowance Current();

  // "2 cores", or "2 cores, at most 0.5 of one". Profiles measured under other allowances are
  // another device's.
  std::string Text() const;
  // The share of their time that so many busy threads get at most, in (0, 1].
  double ShareOf(int threads) const;
};

}  // namespace layercake
