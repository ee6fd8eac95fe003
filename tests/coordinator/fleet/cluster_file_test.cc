#include "coordinator/fleet/cluster_file.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "coordinator/fleet/cards.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

auto Parse(absl::string_view text) { return ParseClusterFile(text, "lab.yaml"); }

constexpr char kTwoCards[] = R"(# a tower under a desk
devices:
  - {name: m40, card: tesla-m40, host: tower, free: 11.2GiB}
  - name: p106
    card: P106-100
    host: tower
)";

TEST(ClusterFileTest, CardsStandForTheirFigures) {
  LC_ASSERT_OK_AND_ASSIGN(const Fleet fleet, Parse(kTwoCards));
  ASSERT_EQ(fleet.devices.size(), 2u);
  const PlannerDevice& m40 = fleet.devices[0];
  EXPECT_EQ(m40.name, "m40");
  EXPECT_EQ(m40.host, "tower");
  EXPECT_EQ(m40.device.kind(), v1::DEVICE_KIND_CUDA);
  EXPECT_EQ(m40.device.compute_capability(), 52);
  EXPECT_EQ(m40.device.total_bytes(), uint64_t{12} << 30);
  EXPECT_EQ(m40.device.free_bytes(), static_cast<uint64_t>(ParseBytes("11.2GiB").value()));
  EXPECT_DOUBLE_EQ(m40.profile.bandwidth_bytes_per_second(), 288e9 * kAttainableBandwidth);
  EXPECT_EQ(fleet.devices[1].device.name(), "p106-100");
  EXPECT_TRUE(fleet.links.empty());
}

TEST(ClusterFileTest, FiguresMayBeGivenAndWinOverTheCards) {
  LC_ASSERT_OK_AND_ASSIGN(const Fleet fleet, Parse(R"(
devices:
  - {name: x, memory: 8GB, bandwidth: 200GB/s, rate: 4TFLOPS, compute_capability: 6.1, cap: 7GB}
  - {card: tesla-p4, bandwidth: 150GB/s}
  - {name: box, kind: cpu, memory: 64GiB, threads: 16}
)"));
  const v1::Device& x = fleet.devices[0].device;
  EXPECT_EQ(x.total_bytes(), 8'000'000'000u);
  EXPECT_EQ(x.free_bytes(), x.total_bytes());
  EXPECT_EQ(x.cap_bytes(), 7'000'000'000u);
  EXPECT_EQ(x.compute_capability(), 61);
  EXPECT_EQ(fleet.devices[0].host, "x") << "a host of its own";
  EXPECT_DOUBLE_EQ(fleet.devices[0].profile.flops_per_second(), 4e12);
  EXPECT_EQ(fleet.devices[1].name, "tesla-p4");
  EXPECT_DOUBLE_EQ(fleet.devices[1].profile.bandwidth_bytes_per_second(), 150e9);
  EXPECT_EQ(fleet.devices[2].device.kind(), v1::DEVICE_KIND_CPU);
  EXPECT_EQ(fleet.devices[2].device.threads(), 16);
}

TEST(ClusterFileTest, CountNumbersTheDevicesOfOneHost) {
  LC_ASSERT_OK_AND_ASSIGN(const Fleet fleet,
                          Parse("devices: [{name: gpu, card: rtx-a6000, count: 3}]"));
  ASSERT_EQ(fleet.devices.size(), 3u);
  EXPECT_EQ(fleet.devices[0].name, "gpu-0");
  EXPECT_EQ(fleet.devices[2].name, "gpu-2");
  EXPECT_EQ(fleet.devices[0].host, fleet.devices[2].host);
}

TEST(ClusterFileTest, LinksJoinHostsAndDevices) {
  LC_ASSERT_OK_AND_ASSIGN(const Fleet fleet, Parse(absl::StrCat(kTwoCards, R"(
  - {name: far, card: a10, host: rack}
links:
  - {between: [tower, rack], bandwidth: 10Gbit/s, latency: 50us}
  - {from: m40, to: p106, bandwidth: 6GB/s}
)")));
  ASSERT_EQ(fleet.links.size(), 3u);
  EXPECT_EQ(fleet.links[0].from(), "tower");
  EXPECT_EQ(fleet.links[0].to(), "rack");
  EXPECT_DOUBLE_EQ(fleet.links[0].bandwidth_bytes_per_second(), 1.25e9);
  EXPECT_DOUBLE_EQ(fleet.links[0].latency_seconds(), 50e-6);
  EXPECT_EQ(fleet.links[1].from(), "rack") << "and back";
  EXPECT_EQ(fleet.links[2].to(), "p106");
  EXPECT_EQ(fleet.links[2].latency_seconds(), 0);
}

TEST(ClusterFileTest, DefaultsJoinWhatHasNoLinkOfItsOwn) {
  LC_ASSERT_OK_AND_ASSIGN(const Fleet fleet, Parse(absl::StrCat(kTwoCards, R"(
  - {name: far, card: a10, host: rack}
  - {name: farther, card: a10, host: attic}
links: [{between: [tower, rack], bandwidth: 10Gbit/s}]
defaults:
  within_host: {bandwidth: 12GB/s}
  between_hosts: {bandwidth: 1Gbit/s, latency: 200us}
)")));
  std::set<std::string> pairs;
  for (const v1::Link& link : fleet.links) {
    pairs.insert(absl::StrCat(link.from(), ">", link.to(), " ", link.bandwidth_bytes_per_second()));
  }
  EXPECT_EQ(pairs, (std::set<std::string>{"tower>rack 1.25e+09", "rack>tower 1.25e+09",
                                          "tower>tower 1.2e+10", "attic>rack 1.25e+08",
                                          "attic>tower 1.25e+08"}));
}

TEST(ClusterFileTest, MistakesAreNamedWithTheirLine) {
  const std::string devices = kTwoCards;
  const struct {
    std::string text;
    const char* words;
  } kCases[] = {
      {"", "lab.yaml:1: a cluster file must be keys and values"},
      {"devices: []", "lab.yaml:1: devices must list at least one device"},
      {"links: []", "devices must list at least one device"},
      {"devices: {a: b}", "devices must list at least one device"},
      {"devices:\n- just text", "lab.yaml:2: a device must be keys and values"},
      {"devices: [", "no YAML"},
      {"a: 1\n---\nb: 2\n", "lab.yaml:2: a second document"},
      // To the library a document of nothing, and another, and another.
      {",devices", "lab.yaml:1: a second document"},
      {"devices: [{name: a, name: b}]", "\"name\" stands here for the second time"},
      {"devices:\n- {[a]: b}", "a key must be plain text"},
      {"device: []", "unknown key \"device\" in a cluster file; did you mean devices?"},
      {devices + "colour: red", "lab.yaml:7: unknown key \"colour\" in a cluster file; known"},
      {"devices:\n- name: a\n  bandwith: 1GB/s",
       "lab.yaml:3: unknown key \"bandwith\" in a device; did you mean bandwidth?"},
      {"devices:\n- card: tesla-m41", "card: there is no card \"tesla-m41\""},
      {"devices: [{name: a}]", "card or memory is missing"},
      {"devices: [{memory: 1GB}]", "name is missing"},
      {"devices: [{name: a, memory: lots}]", "memory: "},
      {"devices: [{name: my card, memory: 1GiB}]", "\"my card\" is no name of a device"},
      {"devices: [{name: a, memory: 0}]", "memory: \"0\" is 0 B, too little for a device"},
      {"devices: [{name: a, memory: [1GB]}]", "memory must be one value"},
      {"devices: [{name: a, memory: 1GB, free: 2GB}]", "free is 1.86 GiB of only 954 MiB"},
      {"devices: [{name: a, memory: 1GB, count: 0}]", "count: \"0\" is not a whole number"},
      {"devices: [{name: a, memory: 1GB, kind: tpu}]", "\"tpu\" is neither cpu nor gpu"},
      {"devices: [{name: a, card: a10, kind: cpu}]", "a cpu has no card"},
      {"devices: [{name: a, memory: 1GB, kind: cpu, compute_capability: 5.2}]",
       "a cpu has no compute_capability"},
      {"devices: [{name: a, memory: 1GB, compute_capability: 52}]", "write it like 5.2"},
      {devices + "  - {name: m40, card: a10}", "the first is in line 3"},
      {devices + "  - {name: tower, card: a10}", "the device tower has the name of a host"},
      {devices + "links: 5", "links must be a list"},
      {devices + "links: [{between: [m40], bandwidth: 1GB/s}]", "between must be two names"},
      {devices + "links: [{between: [m40, p106]}]", "bandwidth is missing"},
      {devices + "links: [{from: m40, bandwidth: 1GB/s}]", "a link is between: [a, b]"},
      {devices + "links: [{between: [m40, p106], to: m40, bandwidth: 1GB/s}]", "excludes"},
      {devices + "links:\n- {from: m40, to: p107, bandwidth: 1GB/s}",
       "lab.yaml:8: \"p107\" is neither a device nor a host here; did you mean p106?"},
      {devices + "links: [{between: [m40, p106], bandwidth: 1GB/s},\n"
                 "        {from: p106, to: m40, bandwidth: 1GB/s}]",
       "lab.yaml:8: the link from p106 to m40 is given for the second time"},
      {devices + "links: [{between: [m40, p106], bandwidth: 1GB/s, latency: soon}]",
       "\"soon\" is not a latency"},
      {devices + "defaults: {within_hosts: {bandwidth: 1GB/s}}", "did you mean within_host?"},
      {devices + "defaults: {within_host: {latency: 1us}}", "bandwidth is missing"},
      {"devices: [{name: a, memory: 1GB, count: 9999}, {name: b, memory: 1GB, count: 9999}]",
       "more than 10000 devices"},
      {std::string(100, '[') + std::string(100, ']'), "nested deeper than 16"},
  };
  for (const auto& mistake : kCases) {
    EXPECT_THAT(Parse(mistake.text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(mistake.words)))
        << mistake.text;
  }
}

TEST(ClusterFileTest, AliasesCannotStandForBillionsOfValues) {
  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c <= 'j'; ++c) {
    const std::string alias = absl::StrCat("*", std::string(1, static_cast<char>(c - 1)));
    bomb += absl::StrCat(std::string(1, c), ": &", std::string(1, c), " [", alias, ",", alias, ",",
                         alias, ",", alias, ",", alias, ",", alias, ",", alias, ",", alias, "]\n");
  }
  EXPECT_THAT(Parse(bomb),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 100000 values")));
}

}  // namespace
}  // namespace layercake
