#include "coordinator/cluster/link_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

WorkerInfo Worker(const std::string& name, const std::string& host) {
  WorkerInfo worker;
  worker.hello.set_name(name);
  worker.hello.set_host(host);
  worker.hello.set_address(name + "-address");
  return worker;
}

std::vector<PlannerDevice> Devices(const std::vector<WorkerInfo>& workers) {
  std::vector<PlannerDevice> devices;
  for (const WorkerInfo& worker : workers) {
    devices.push_back({.name = worker.hello.name(), .host = worker.hello.host()});
  }
  return devices;
}

const auto kAlways = [] { return true; };

// Answers with figures that tell the pairs apart, and remembers who was asked.
class FakeProber final : public LinkProber {
 public:
  absl::StatusOr<v1::MeasureLinkResponse> Measure(const std::string& from,
                                                  const std::string& to) override {
    asked.push_back(absl::StrCat(from, ">", to));
    if (on_measure) on_measure();
    if (to == broken) return absl::UnavailableError("no route");
    v1::MeasureLinkResponse response;
    response.set_latency_seconds(1e-4 * static_cast<double>(asked.size()));
    response.set_bandwidth_bytes_per_second(1e9);
    return response;
  }
  absl::StatusOr<double> Latency(const std::string&) override { return 3e-4; }

  std::vector<std::string> asked;
  std::string broken;
  std::function<void()> on_measure;
};

TEST(PairsToMeasureTest, FewWorkersAreMeasuredEachWithEach) {
  const auto pairs = PairsToMeasure({Worker("a", "x"), Worker("b", "x"), Worker("c", "y")});
  ASSERT_EQ(pairs.size(), 6u);
  EXPECT_EQ(pairs[0].from, "a");
  EXPECT_EQ(pairs[0].to, "b");
  EXPECT_THAT(PairsToMeasure({Worker("a", "x")}), IsEmpty());
  EXPECT_THAT(PairsToMeasure({}), IsEmpty());
}

TEST(PairsToMeasureTest, ManyAreMeasuredByHost) {
  std::vector<WorkerInfo> workers;
  for (int i = 0; i < 8; ++i)
    workers.push_back(Worker(absl::StrCat("w", i), i < 7 ? "big" : "one"));
  const auto pairs = PairsToMeasure(workers);
  // Within the big host, and between the two, both ways; the other has nobody to talk to.
  ASSERT_EQ(pairs.size(), 3u);
  for (const LinkPair& pair : pairs) {
    EXPECT_EQ(workers[pair.from_worker].hello.host(), pair.from);
    EXPECT_EQ(workers[pair.to_worker].hello.host(), pair.to);
    EXPECT_NE(pair.from_worker, pair.to_worker);
  }
}

TEST(LinkBookTest, NewWorkersAreMeasuredOnceAndOthersLeftAlone) {
  FakeProber prober;
  LinkBook book(prober);
  std::vector<WorkerInfo> workers = {Worker("a", "x"), Worker("b", "y")};
  book.MeasureNew(workers, kAlways);
  EXPECT_THAT(prober.asked, ElementsAre("a-address>b-address", "b-address>a-address"));
  book.MeasureNew(workers, kAlways);
  EXPECT_EQ(prober.asked.size(), 2u);
  workers.push_back(Worker("c", "y"));
  book.MeasureNew(workers, kAlways);
  EXPECT_EQ(prober.asked.size(), 6u);
}

TEST(LinkBookTest, WhatIsInterruptedIsMeasuredAnotherTime) {
  FakeProber prober;
  LinkBook book(prober);
  const std::vector<WorkerInfo> workers = {Worker("a", "x"), Worker("b", "y"), Worker("c", "z")};
  book.MeasureNew(workers, [&] { return prober.asked.empty(); });
  EXPECT_EQ(prober.asked.size(), 1u) << "a request has come";
  book.MeasureNew(workers, kAlways);
  EXPECT_EQ(prober.asked.size(), 6u);
}

TEST(LinkBookTest, MeasuringAllReplacesWhatWasKnown) {
  FakeProber prober;
  LinkBook book(prober);
  const std::vector<WorkerInfo> workers = {Worker("a", "x"), Worker("b", "y")};
  book.MeasureNew(workers, kAlways);
  LC_ASSERT_OK_AND_ASSIGN(const auto response, book.MeasureAll(workers));
  ASSERT_EQ(response.links_size(), 2);
  const auto links = book.LinksAmong(Devices(workers));
  ASSERT_EQ(links.size(), 2u);
  EXPECT_DOUBLE_EQ(links[0].latency_seconds(), 3e-4);
  EXPECT_THAT(book.MeasureAll({}), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(LinkBookTest, APairThatFailsIsToldAndNotTriedWithEveryPlan) {
  FakeProber prober;
  prober.broken = "b-address";
  LinkBook book(prober);
  const std::vector<WorkerInfo> workers = {Worker("a", "x"), Worker("b", "y")};
  LC_ASSERT_OK_AND_ASSIGN(const auto response, book.MeasureAll(workers));
  EXPECT_THAT(response.failures(), ElementsAre(HasSubstr("a to b: no route")));
  EXPECT_EQ(book.LinksAmong(Devices(workers)).size(), 1u);
  book.MeasureNew(workers, kAlways);
  EXPECT_EQ(prober.asked.size(), 2u);
}

TEST(LinkBookTest, LinksOfWorkersThatLeftAreNotPlannedWith) {
  FakeProber prober;
  LinkBook book(prober);
  book.MeasureNew({Worker("a", "x"), Worker("b", "y"), Worker("c", "y")}, kAlways);
  EXPECT_EQ(book.LinksAmong(Devices({Worker("a", "x"), Worker("c", "y")})).size(), 2u);
}

TEST(LinkBookTest, TwoMeasurementsDoNotDisturbEachOther) {
  FakeProber prober;
  LinkBook book(prober);
  const std::vector<WorkerInfo> workers = {Worker("a", "x"), Worker("b", "y")};
  absl::Status second;
  prober.on_measure = [&] { second = book.MeasureAll(workers).status(); };
  LC_ASSERT_OK_AND_ASSIGN(const auto response, book.MeasureAll(workers));
  EXPECT_EQ(response.links_size(), 2);
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kAborted, HasSubstr("try again")));
}

TEST(LinkBookTest, StatusShowsLinksAndLatencies) {
  FakeProber prober;
  LinkBook book(prober);
  book.MeasureNew({Worker("a", "x"), Worker("b", "y")}, kAlways);
  v1::ClusterStatus status;
  status.add_workers()->set_name("b");
  status.add_workers()->set_name("new");
  book.FillStatus(&status);
  EXPECT_EQ(status.links_size(), 2);
  EXPECT_DOUBLE_EQ(status.workers(0).coordinator_latency_seconds(), 3e-4);
  EXPECT_EQ(status.workers(1).coordinator_latency_seconds(), 0);
}

}  // namespace
}  // namespace layercake
