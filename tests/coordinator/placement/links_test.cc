#include "coordinator/placement/links.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/placement/fixtures.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

v1::Link Link(const std::string& from, const std::string& to, double latency = 1e-3,
              double bandwidth = 1e9) {
  v1::Link link;
  link.set_from(from);
  link.set_to(to);
  link.set_latency_seconds(latency);
  link.set_bandwidth_bytes_per_second(bandwidth);
  return link;
}

// Workers a and b on host "near", c on host "far".
Fleet ThreeWorkers(std::vector<v1::Link> links) {
  Fleet fleet({Gpu("a", 1e9), Gpu("b", 1e9), Gpu("c", 1e9)}, std::move(links));
  fleet.devices[0].host = fleet.devices[1].host = "near";
  fleet.devices[2].host = "far";
  return fleet;
}

absl::StatusOr<LinkMap> Resolve(const Fleet& fleet) {
  std::vector<const PlannerDevice*> devices;
  for (const PlannerDevice& device : fleet.devices) devices.push_back(&device);
  return LinkMap::Of(fleet, devices);
}

TEST(LinkMapTest, GuessesWhatNobodyGave) {
  LC_ASSERT_OK_AND_ASSIGN(const LinkMap links, Resolve(ThreeWorkers({})));
  EXPECT_EQ(links.at(0, 1).bytes_per_second, kLinkWithinHost.bytes_per_second);
  EXPECT_EQ(links.at(1, 0).latency_seconds, kLinkWithinHost.latency_seconds);
  EXPECT_EQ(links.at(0, 2).bytes_per_second, kLinkBetweenHosts.bytes_per_second);
  EXPECT_EQ(links.at(2, 1).latency_seconds, kLinkBetweenHosts.latency_seconds);
}

TEST(LinkMapTest, AWorkersOwnLinkComesBeforeItsHosts) {
  LC_ASSERT_OK_AND_ASSIGN(
      const LinkMap links,
      Resolve(ThreeWorkers({Link("near", "far", 0.1), Link("a", "c", 0.2), Link("a", "far", 0.3),
                            Link("near", "near", 0.4)})));
  EXPECT_EQ(links.at(0, 2).latency_seconds, 0.2);
  EXPECT_EQ(links.at(1, 2).latency_seconds, 0.1);
  EXPECT_EQ(links.at(0, 1).latency_seconds, 0.4);
}

TEST(LinkMapTest, TheWayBackStandsInWhereOnlyItIsKnown) {
  LC_ASSERT_OK_AND_ASSIGN(
      const LinkMap links,
      Resolve(ThreeWorkers({Link("near", "far", 0.1), Link("a", "b", 0.2), Link("b", "a", 0.3)})));
  EXPECT_EQ(links.at(2, 1).latency_seconds, 0.1);
  EXPECT_EQ(links.at(0, 1).latency_seconds, 0.2);
  EXPECT_EQ(links.at(1, 0).latency_seconds, 0.3);
}

TEST(LinkMapTest, TimesAreLatencyAndBytesOverBandwidth) {
  LC_ASSERT_OK_AND_ASSIGN(const LinkMap links,
                          Resolve(ThreeWorkers({Link("near", "far", 0.5, 4e6)})));
  const LinkTimes times = links.Times(1e6);
  EXPECT_EQ(times.at(0, 2), 0.75);
  EXPECT_EQ(times.at(2, 1), 0.75);
  // Workers that no link names by themselves share their host's port.
  EXPECT_EQ(times.port(0), times.port(1));
  EXPECT_EQ(times.num_ports(), 2);
}

TEST(LinkMapTest, RefusesBadLinksInWords) {
  const auto refusal = [](const v1::Link& link) {
    const absl::StatusOr<LinkMap> links = Resolve(ThreeWorkers({link}));
    EXPECT_EQ(links.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(links.status().message());
  };
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_THAT(refusal(Link("a", "x")),
              HasSubstr("from \"a\" to \"x\" names \"x\", which is no worker and no host here"));
  EXPECT_THAT(refusal(Link("", "a")), HasSubstr("names \"\""));
  EXPECT_THAT(refusal(Link("a", "a")), HasSubstr("from a worker to itself"));
  EXPECT_THAT(refusal(Link("a", "b", -1)), HasSubstr("a latency of -1 seconds"));
  EXPECT_THAT(refusal(Link("a", "b", kNaN)), HasSubstr("a latency of nan"));
  EXPECT_THAT(refusal(Link("a", "b", kInfinity)), HasSubstr("a latency of inf"));
  EXPECT_THAT(refusal(Link("a", "b", 0, 0)), HasSubstr("a bandwidth of 0 bytes a second"));
  EXPECT_THAT(refusal(Link("a", "b", 0, -5)), HasSubstr("a bandwidth of -5"));
  EXPECT_THAT(refusal(Link("a", "b", 0, kNaN)), HasSubstr("a bandwidth of nan"));
  EXPECT_THAT(Resolve(ThreeWorkers({Link("a", "b"), Link("a", "b", 2)})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is given twice")));
}

TEST(LinkMapTest, ALinkDecidesWhatThePlanUses) {
  // Two cards that share the work, and a third behind a slow network that must not slow them down.
  Fleet fleet({Gpu("a", 20e9), Gpu("b", 20e9), Gpu("c", 20e9)}, {Link("near", "far", 1, 1e6)});
  fleet.devices[0].host = fleet.devices[1].host = "near";
  fleet.devices[2].host = "far";
  v1::PlanOptions one;
  one.set_replicas(1);
  LC_ASSERT_OK_AND_ASSIGN(v1::Plan plan, MakePlan(Llama3_8B(), fleet, one, "m"));
  ASSERT_EQ(plan.stages_size(), 2);
  EXPECT_THAT(plan.excluded(0).worker(), "c");
  EXPECT_THAT(plan.excluded(0).reason(), HasSubstr("would only make a slower part: a step"));
  EXPECT_EQ(plan.stages(0).activation_bytes(), 16 * 4096 * 4);
  EXPECT_DOUBLE_EQ(plan.stages(0).link_seconds(), 50e-6 + 16 * 4096 * 4 / 2e9);
  EXPECT_DOUBLE_EQ(plan.stages(0).prefill_link_seconds(), 50e-6 + 256 * 4096 * 4 / 2e9);
  EXPECT_EQ(plan.stages(1).link_seconds(), 0);
  fleet.links[0] = Link("near", "far", 0, 1e12);
  LC_ASSERT_OK_AND_ASSIGN(plan, MakePlan(Llama3_8B(), fleet, one, "m"));
  EXPECT_EQ(plan.stages_size(), 3);
}

TEST(LinkMapTest, AOneWayFastLinkDecidesTheOrder) {
  const Fleet fleet({Gpu("a", 12e9), Gpu("b", 12e9)},
                    {Link("a", "b", 0.1, 1e9), Link("b", "a", 0, 1e12)});
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), fleet, {}, "m"));
  ASSERT_EQ(plan.stages_size(), 2);
  EXPECT_EQ(plan.stages(0).worker(), "b");
}

TEST(LinkMapTest, ABadLinkIsRefusedByThePlanner) {
  const Fleet fleet({Gpu("a", 20e9)}, {Link("a", "nowhere")});
  EXPECT_THAT(MakePlan(Llama3_8B(), fleet, {}, "m"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nowhere")));
}

TEST(LinkMapTest, HostsThatNoLinkTellsApartAreOnePort) {
  const auto ports = [](const std::vector<v1::Link>& links, size_t per_host) {
    Fleet fleet({}, links);
    for (size_t i = 0; i < 4 * per_host; ++i) {
      fleet.devices.push_back(Gpu(absl::StrCat("g", i), 1e9));
      fleet.devices.back().host = absl::StrCat("h", i / per_host);
    }
    const LinkMap map = *Resolve(fleet);
    const LinkTimes times = map.Times(1e6);
    // What was said is kept.
    for (const v1::Link& link : links) {
      for (size_t from = 0; from < fleet.devices.size(); ++from) {
        for (size_t to = 0; to < fleet.devices.size(); ++to) {
          if (from == to || fleet.devices[from].host != link.from()) continue;
          if (fleet.devices[to].host != link.to()) continue;
          EXPECT_EQ(times.at(static_cast<int>(from), static_cast<int>(to)),
                    link.latency_seconds() + 1e6 / link.bandwidth_bytes_per_second());
        }
      }
    }
    return times.num_ports();
  };
  EXPECT_EQ(ports({}, 1), 1);
  // Links within a host are others than those between hosts.
  EXPECT_EQ(ports({}, 2), 4);
  // One way back differs.
  EXPECT_EQ(ports({Link("h0", "h1", 0.1), Link("h1", "h0", 0.2)}, 1), 3);
  EXPECT_EQ(ports({Link("h0", "h1", 0.1), Link("h1", "h0", 0.1)}, 1), 2);
  EXPECT_EQ(ports({Link("h0", "h1", 0.1), Link("h0", "h2", 0.1), Link("h0", "h3", 0.1)}, 1), 2);
}

}  // namespace
}  // namespace layercake
