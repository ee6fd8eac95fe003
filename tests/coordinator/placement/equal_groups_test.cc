#include "coordinator/placement/equal_groups.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "coordinator/placement/problem.h"
#include "tests/coordinator/placement/fleets.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

EqualGroups Grouped(const Fleet& fleet, size_t group_devices, size_t& num_ports) {
  v1::PlanOptions options;
  options.set_context_tokens(4096);
  const PlanningProblem problem = *MakeProblem(Llama70B(), fleet, options, "m");
  const CostModel cost = problem.cost();
  const DeviceClasses classes(cost, problem.selection, DeviceClasses::Middles::kMost);
  const LinkTimes& links = classes.At(1).links;
  EqualGroups equal = GroupEqualPorts(classes, links, group_devices);
  // Every device once; groups are equal device by device and port by port.
  std::multiset<int> all(equal.rest.begin(), equal.rest.end());
  for (const std::vector<int>& group : equal.groups) {
    all.insert(group.begin(), group.end());
    EXPECT_EQ(group.size(), equal.groups[0].size());
    std::map<int, int> port_of;
    for (size_t i = 0; i < group.size(); ++i) {
      const int like = equal.groups[0][i];
      EXPECT_EQ(classes.class_of(group[i]), classes.class_of(like));
      EXPECT_EQ(port_of.emplace(links.port(like), links.port(group[i])).first->second,
                links.port(group[i]));
    }
  }
  EXPECT_EQ(all.size(), fleet.devices.size());
  EXPECT_EQ(std::set<int>(all.begin(), all.end()).size(), fleet.devices.size());
  num_ports = static_cast<size_t>(links.num_ports());
  return equal;
}

const std::vector<Card> kCards = {{80e9, 2039e9, 300e12}, {24e9, 300e9, 120e12}};

TEST(EqualGroupsTest, EqualHostsMakeEqualGroups) {
  size_t ports = 0;
  // 13 and 12 hosts of the two kinds, over groups of 40 devices and more.
  const EqualGroups equal = Grouped(EqualHosts(25, 8, kCards), 40, ports);
  EXPECT_EQ(ports, 25u);
  ASSERT_EQ(equal.groups.size(), 5u);
  EXPECT_EQ(equal.groups[0].size(), 4u * 8);
  EXPECT_EQ(equal.rest.size(), 5u * 8);
}

TEST(EqualGroupsTest, UnlikeHostsMakeNone) {
  size_t ports = 0;
  const EqualGroups equal = Grouped(MixedFleet(3, 64, 8, 5, Llama70B()), 16, ports);
  EXPECT_TRUE(equal.groups.empty());
  EXPECT_EQ(equal.rest.size(), 64u);
}

}  // namespace
}  // namespace layercake
