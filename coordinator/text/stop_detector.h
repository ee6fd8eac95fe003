#pragma once

// Finds stop strings in text as it is generated, and holds back what may become part of one.

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace layercake {

// The watch over one sequence. The stop string that is complete first counts; of several that are
// complete at the same byte, the longest. What is returned does not depend on how the text was cut
// into pushes. Work per byte is proportional to the number of stop strings. Not thread-safe.
class StopDetector {
 public:
  // Empty strings in `stops` never match. `include_stop`: the text returned ends with the stop
  // string instead of before it.
  explicit StopDetector(std::vector<std::string> stops, bool include_stop = false);

  // Takes the next text and returns what can no longer become part of a stop string. Once a stop
  // string matched, further text is dropped.
  std::string Push(absl::string_view text);
  // Ends the sequence: returns what was held back. REQUIRES: no Push afterwards.
  std::string Flush();

  bool stopped() const { return matched_.has_value(); }
  // The stop string that matched.
  const std::optional<std::string>& matched() const { return matched_; }

 private:
  struct Stop {
    std::string text;
    // For each length of a matched prefix, the next shorter prefix that ends the same way.
    std::vector<size_t> shorter;
    size_t matched = 0;  // bytes of `text` that the input ends with
  };
  static void Advance(char byte, Stop* stop);

  std::vector<Stop> stops_;
  const bool include_stop_;
  std::string held_back_;
  std::optional<std::string> matched_;
};

}  // namespace layercake
