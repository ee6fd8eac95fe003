// Holds the placement search against trying every pipeline: on small random cases with all that is
// hard about them (tests/coordinator/placement/search_cases.h), for period, sum and cycle, and that
// no pipeline beats the relaxation's bounds. Prints the count and the mismatches; fails on any.
//
//   placement_proof [CASES]      default 100000

#include <cstdio>
#include <cstdlib>

#include "coordinator/placement/relaxation.h"
#include "tests/coordinator/placement/search_cases.h"

int main(int argc, char** argv) {
  using namespace layercake;  // NOLINT: a program
  const int num_cases = argc > 1 ? std::atoi(argv[1]) : 100000;
  CaseMaker maker(1);
  int feasible = 0;
  int mismatches = 0;
  for (int i = 0; i < num_cases; ++i) {
    SearchCase c = maker.Make(5, 9);
    std::string mismatch = Mismatch(c);
    const Best best = BruteForce(c);
    feasible += best.found ? 1 : 0;
    if (mismatch.empty() && best.found) {
      const Relaxation relaxation(c.space());
      if (relaxation.PeriodBound() > best.period) mismatch = "the period beats its bound";
      if (relaxation.LeastSum(kDoesNotFit)->sum > best.sum) mismatch = "the sum beats its bound";
    }
    if (mismatch.empty()) continue;
    ++mismatches;
    std::printf("case %d: %s\n", i, mismatch.c_str());
  }
  std::printf("%d cases of up to 5 devices and 9 layers, %d of them feasible: %d mismatches\n",
              num_cases, feasible, mismatches);
  return mismatches == 0 ? 0 : 1;
}
