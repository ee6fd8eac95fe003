#include "coordinator/placement/stage_times.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "common/base/logging.h"

namespace layercake {
namespace {

std::vector<int> UpTo(int count) {
  std::vector<int> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

StageTimes::StageTimes(int num_devices, int num_layers)
    : StageTimes(UpTo(num_devices), num_devices, num_layers) {}

StageTimes::StageTimes(std::vector<int> rows, int num_rows, int num_layers)
    : num_layers_(num_layers),
      stages_(static_cast<size_t>(num_layers) * num_layers),
      rows_(std::move(rows)),
      rooms_(rows_.size(), 0),
      needs_(stages_, 0),
      unlike_middles_(num_layers),
      seconds_(stages_ * num_rows, kDoesNotFit) {
  for (int count = 1; count < num_layers; ++count) {
    unlike_middles_[count].resize(num_layers - 1 - count);
    std::iota(unlike_middles_[count].begin(), unlike_middles_[count].end(), 1);
  }
}

void StageTimes::FindLevels() const {
  for (int count = 1; count < num_layers_; ++count) {
    levels_.push_back(need(0, count));
    levels_.push_back(need(num_layers_ - count, count));
    for (const int first : unlike_middles_[count]) levels_.push_back(need(first, count));
  }
  levels_.push_back(need(0, num_layers_));
  std::ranges::sort(levels_);
  levels_.erase(std::ranges::unique(levels_).begin(), levels_.end());
}

const StageEnvelope& StageTimes::envelope(int device) const {
  if (levels_.empty()) FindLevels();
  const int64_t held = std::ranges::upper_bound(levels_, room(device)) - levels_.begin();
  const auto [known, added] = envelopes_.try_emplace({row(device), held});
  StageEnvelope& envelope = known->second;
  if (!added) return envelope;
  for (QuickestStages* stages : {&envelope.first, &envelope.middle, &envelope.last}) {
    stages->seconds.assign(num_layers_, kDoesNotFit);
  }
  for (int count = 1; count < num_layers_; ++count) {
    envelope.first.seconds[count] = at(device, 0, count);
    envelope.last.seconds[count] = at(device, num_layers_ - count, count);
    double& quickest = envelope.middle.seconds[count];
    for (const int first : unlike_middles_[count]) {
      quickest = std::min(quickest, at(device, first, count));
    }
  }
  for (QuickestStages* stages : {&envelope.first, &envelope.middle, &envelope.last}) {
    stages->longer = stages->seconds;
    for (int count = num_layers_ - 2; count >= 1; --count) {
      stages->longer[count] = std::min(stages->longer[count], stages->longer[count + 1]);
    }
    for (int count = 1; count < num_layers_; ++count) {
      envelope.per_layer = std::min(envelope.per_layer, stages->seconds[count] / count);
    }
  }
  envelope.whole = at(device, 0, num_layers_);
  return envelope;
}

LinkTimes::LinkTimes(std::vector<int> ports, std::vector<double> seconds)
    : ports_(std::move(ports)),
      num_ports_(ports_.empty() ? 0 : *std::max_element(ports_.begin(), ports_.end()) + 1),
      seconds_(std::move(seconds)) {
  CHECK_GE(seconds_.size(), static_cast<size_t>(num_ports_) * num_ports_);
}

}  // namespace layercake
