#include "coordinator/placement/device_sets.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

namespace layercake {
namespace {

constexpr double kNone = -kDoesNotFit;

}  // namespace

std::optional<DeviceSets> DeviceSets::Of(std::vector<std::vector<int>> kinds, int64_t most_pairs) {
  DeviceSets sets;
  int64_t size = 1;
  for (const std::vector<int>& kind : kinds) {
    const auto devices = static_cast<int64_t>(kind.size());
    sets.stride_.push_back(static_cast<int>(size));
    size *= devices + 1;
    sets.num_pairs_ *= (devices + 1) * (devices + 2) / 2;
    if (sets.num_pairs_ > most_pairs) return std::nullopt;
  }
  sets.kinds_ = std::move(kinds);
  const int num_kinds = static_cast<int>(sets.kinds_.size());
  sets.parts_.resize(size);
  sets.without_one_.assign(size, 0);
  for (int set = 1; set < sets.size(); ++set) {
    int last = num_kinds - 1;
    while (sets.count(set, last) == 0) --last;
    sets.without_one_[set] = set - sets.stride_[last];
    // Digit by digit.
    std::vector<int>& parts = sets.parts_[set];
    parts = {0};
    for (int kind = 0; kind <= last; ++kind) {
      const size_t lower = parts.size();
      for (int some = 1; some <= sets.count(set, kind); ++some) {
        for (size_t i = 0; i < lower; ++i) parts.push_back(parts[i] + some * sets.stride_[kind]);
      }
      if (kind == last) parts.erase(parts.begin(), parts.begin() + static_cast<int64_t>(lower));
    }
  }
  return sets;
}

std::vector<int> DeviceSets::devices(int set) const {
  std::vector<int> devices;
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    const int some = count(set, static_cast<int>(kind));
    devices.insert(devices.end(), kinds_[kind].begin(), kinds_[kind].begin() + some);
  }
  std::sort(devices.begin(), devices.end());
  return devices;
}

int64_t DeviceSets::num_subsets(int set) const {
  int64_t subsets = 1;
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    subsets *= count(set, static_cast<int>(kind)) + 1;
  }
  return subsets;
}

bool DeviceSets::contains(int set, int part) const {
  for (int kind = 0; kind < static_cast<int>(kinds_.size()); ++kind) {
    if (count(part, kind) > count(set, kind)) return false;
  }
  return true;
}

std::optional<DeviceSets::Division> DeviceSets::Divide(const std::vector<double>& values,
                                                       int number,
                                                       std::vector<double>* with) const {
  // best[set]: of n parts of its devices, or of any number of them; `chosen` says which comes last,
  // 0 where a device of the set's last kind is left out.
  const bool any = number == 0;
  std::vector<std::vector<int>> chosen;
  std::vector<double> fewer(size(), 0);
  std::vector<double> best;
  for (int n = 1; n <= std::max(1, number); ++n) {
    if (n > 1) fewer = best;
    best.assign(size(), any ? 0 : kNone);
    std::vector<int>& choice = chosen.emplace_back(size(), 0);
    for (int set = 1; set < size(); ++set) {
      best[set] = best[without_one_[set]];
      for (const int part : parts_[set]) {
        const double others = (any ? best : fewer)[set - part];
        if (values[part] < 0 || others < 0 || values[part] + others <= best[set]) continue;
        best[set] = values[part] + others;
        choice[set] = part;
      }
    }
  }
  if (with != nullptr) {
    with->assign(size(), kNone);
    for (int set = 1; set < size(); ++set) {
      const double others = (any ? best : fewer)[size() - 1 - set];
      if (values[set] >= 0 && others >= 0) (*with)[set] = values[set] + others;
    }
  }
  Division division = {.value = best.back()};
  int set = size() - 1;
  for (int n = std::max(1, number); set > 0 && n > 0;) {
    const int part = chosen[n - 1][set];
    if (part == 0) {
      set = without_one_[set];
      continue;
    }
    division.sets.push_back(part);
    set -= part;
    if (!any) --n;
  }
  if (division.sets.empty() || division.value < 0) return std::nullopt;
  return division;
}

void DeviceSets::MoveApart(const Division& division, std::vector<Pipeline>& pipelines) const {
  std::vector<int> taken(kinds_.size(), 0);
  for (size_t i = 0; i < pipelines.size(); ++i) {
    std::map<int, int> other;
    for (size_t kind = 0; kind < kinds_.size(); ++kind) {
      const int some = count(division.sets[i], static_cast<int>(kind));
      for (int j = 0; j < some; ++j) other[kinds_[kind][j]] = kinds_[kind][taken[kind]++];
    }
    for (StageChoice& stage : pipelines[i].stages) stage.device = other.at(stage.device);
  }
}

}  // namespace layercake
