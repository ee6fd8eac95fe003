#include "coordinator/simulate/load.h"

#include <cmath>
#include <random>

namespace layercake {
namespace {

// In (0, 1]; the standard's distributions may differ between libraries, its generators may not.
double Uniform(std::mt19937_64& random) {
  return (static_cast<double>(random() >> 11) + 1) / 9007199254740992.0;
}

int Draw(const TokenRange& range, std::mt19937_64& random) {
  const double width = range.most - range.least + 1;
  return range.most - static_cast<int>((Uniform(random) - 0x1p-54) * width);
}

}  // namespace

std::vector<LoadRequest> DrawLoad(const LoadOptions& options) {
  std::mt19937_64 random(options.seed);
  std::vector<LoadRequest> requests(static_cast<size_t>(options.requests));
  double now = 0;
  for (LoadRequest& request : requests) {
    request.arrives_seconds = now;
    request.prompt_tokens = Draw(options.prompt_tokens, random);
    request.output_tokens = Draw(options.output_tokens, random);
    if (options.arrivals_per_second > 0) {
      now += -std::log(Uniform(random)) / options.arrivals_per_second;
    }
  }
  return requests;
}

}  // namespace layercake
