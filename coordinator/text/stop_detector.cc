#include "coordinator/text/stop_detector.h"

#include <algorithm>
#include <utility>

namespace layercake {

StopDetector::StopDetector(std::vector<std::string> stops, bool include_stop)
    : include_stop_(include_stop) {
  for (std::string& text : stops) {
    if (text.empty()) continue;
    Stop stop;
    stop.shorter.assign(text.size() + 1, 0);
    for (size_t length = 2, prefix = 0; length <= text.size(); ++length) {
      while (prefix > 0 && text[length - 1] != text[prefix]) prefix = stop.shorter[prefix];
      if (text[length - 1] == text[prefix]) ++prefix;
      stop.shorter[length] = prefix;
    }
    stop.text = std::move(text);
    stops_.push_back(std::move(stop));
  }
}

// Knuth, Morris and Pratt's step.
void StopDetector::Advance(char byte, Stop* stop) {
  while (stop->matched > 0 && stop->text[stop->matched] != byte) {
    stop->matched = stop->shorter[stop->matched];
  }
  if (stop->text[stop->matched] == byte) ++stop->matched;
}

std::string StopDetector::Push(absl::string_view text) {
  if (stopped()) return "";
  for (const char byte : text) {
    held_back_.push_back(byte);
    const Stop* complete = nullptr;
    for (Stop& stop : stops_) {
      Advance(byte, &stop);
      if (stop.matched == stop.text.size() &&
          (complete == nullptr || stop.text.size() > complete->text.size())) {
        complete = &stop;
      }
    }
    if (complete == nullptr) continue;
    matched_ = complete->text;
    if (!include_stop_) held_back_.resize(held_back_.size() - complete->text.size());
    return Flush();
  }
  size_t keep = 0;
  for (const Stop& stop : stops_) keep = std::max(keep, stop.matched);
  std::string ready = held_back_.substr(0, held_back_.size() - keep);
  held_back_.erase(0, ready.size());
  return ready;
}

std::string StopDetector::Flush() { return std::exchange(held_back_, std::string()); }

}  // namespace layercake
