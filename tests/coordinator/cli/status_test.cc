// What `layercake status` says of clusters that are large.

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/cli/fake_coordinator.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A fleet of 30 hosts, each linked with each.
class LargeFleetTest : public CliTest {
 protected:
  void Link(bool alike) {
    admin_.status.clear_links();
    for (int from = 0; from < 30; ++from) {
      admin_.status.add_workers()->set_name(absl::StrCat("w", from));
      for (int to = 0; to < 30; ++to) {
        if (to == from) continue;
        v1::Link& link = *admin_.status.add_links();
        link.set_from(absl::StrCat("host", from));
        link.set_to(absl::StrCat("host", to));
        link.set_latency_seconds(120e-6);
        link.set_bandwidth_bytes_per_second(alike ? 1.1e9 : 1e9 + 1e7 * (30 * to + from));
      }
    }
    admin_.status.mutable_links(400)->set_bandwidth_bytes_per_second(0.1e9);
  }
};

TEST_F(LargeFleetTest, StatusTellsOfEqualLinksOnce) {
  Link(/*alike=*/true);
  const std::string out = Run({"status"}).out;
  EXPECT_THAT(out, AllOf(HasSubstr("0.100 GB/s   120 us  host13 -> host24\n"),
                         HasSubstr("1.10 GB/s   120 us  host0 -> host1, host0 -> host2, "
                                   "host0 -> host3, host0 -> host4 and 865 more\n")));
  EXPECT_LT(std::count(out.begin(), out.end(), '\n'), 40);
}

TEST_F(LargeFleetTest, StatusTellsOfTheSlowestOfManyUnlikeLinks) {
  Link(/*alike=*/false);
  const std::string out = Run({"status"}).out;
  EXPECT_THAT(out, AllOf(HasSubstr("0.100 GB/s   120 us  host13 -> host24\n"),
                         HasSubstr("more, none with less bandwidth; -o json has all\n")));
  EXPECT_LT(std::count(out.begin(), out.end(), '\n'), 80);
  const std::string json = Run({"status", "-o", "json"}).out;
  int links = 0;
  for (size_t at = 0; (at = json.find("\"from\":", at + 1)) != json.npos;) ++links;
  EXPECT_EQ(links, 870);
}

TEST_F(CliTest, StatusTellsOnceOverWhatActivationsGo) {
  for (int i = 0; i < 8; ++i) {
    v1::StagePlan& stage = *admin_.status.mutable_plan()->add_stages();
    stage.set_worker(absl::StrCat("w", i));
    admin_.status.add_workers()->set_name(stage.worker());
    if (i == 7) break;
    stage.set_link("nccl");
    stage.set_link_reason("a test passed");
  }
  EXPECT_THAT(Run({"status"}).out,
              HasSubstr("nccl (a test passed)  w0 -> w1, w1 -> w2, w2 -> w3, w3 -> w4 and 3 more"));
}

}  // namespace
}  // namespace layercake
