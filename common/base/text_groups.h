#pragma once

// Where the same is to be said of many, it is said once.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace layercake {

// Members by what is said of them, in the order of the first. `Saying` has an order.
template <typename Saying>
class TextGroups {
 public:
  struct Group {
    Saying saying;
    std::vector<std::string> members;

    // "a, b, c, d and 9 more".
    std::string Names() const {
      constexpr size_t kMostNamed = 4;
      if (members.size() <= kMostNamed) return absl::StrJoin(members, ", ");
      return absl::StrCat(absl::StrJoin(members.begin(), members.begin() + kMostNamed, ", "),
                          " and ", members.size() - kMostNamed, " more");
    }
  };

  void Add(const std::string& member, const Saying& saying) {
    const auto [known, is_new] = index_.emplace(saying, groups_.size());
    if (is_new) groups_.push_back({.saying = saying, .members = {}});
    groups_[known->second].members.push_back(member);
  }
  const std::vector<Group>& groups() const { return groups_; }

 private:
  std::map<Saying, size_t> index_;
  std::vector<Group> groups_;
};

}  // namespace layercake
