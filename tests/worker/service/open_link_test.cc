// Two workers that agree on a link over NCCL, or do not.

#include <thread>

#include "tests/testing/fake_nccl.h"
#include "tests/worker/service/worker_fixture.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);

NcclEnd FakeEnd(const std::string& uuid, absl::Duration timeout = kLong) {
  return {.functions = &FakeNccl::Functions(),
          .device_uuid = uuid,
          .connect_timeout = timeout,
          .test_timeout = timeout};
}

// The golden model cut after its second layer.
class OpenLinkTest : public ::testing::Test {
 protected:
  void Start(StageHostOptions first, StageHostOptions second) {
    first_ = std::make_unique<TestWorker>(first);
    second_ = std::make_unique<TestWorker>(second);
  }
  void StartBoth(Transport transport = Transport::kAuto) {
    Start({.transport = transport, .nccl = FakeEnd("GPU-a")}, {.nccl = FakeEnd("GPU-b")});
  }

  // Loads both at once, as a coordinator does; the first one's end.
  absl::Status Load(uint64_t epoch, v1::ActivationType activations = v1::ACTIVATION_TYPE_F32) {
    v1::LoadStageRequest to_first = LoadRequest(epoch, 0, 2, second_->address());
    v1::LoadStageRequest to_second = LoadRequest(epoch, 2, 3);
    to_first.set_activation_type(activations);
    to_second.set_activation_type(activations);
    absl::Status second;
    std::thread loading([&] { second = second_->Load(to_second); });
    progress_.clear();
    const absl::Status first = first_->Load(to_first, &progress_);
    loading.join();
    EXPECT_OK(second);
    return first;
  }
  const v1::LoadStageProgress& loaded() const { return progress_.back(); }

  // The token that a step through both stages ends in.
  int32_t Token(uint64_t epoch) {
    ExecuteCall last(*second_);
    ExecuteCall first(*first_);
    const v1::Step step = GreedyStep(epoch, 1, 0, {5, 6, 7, 8});
    EXPECT_TRUE(last.Write(step));
    EXPECT_TRUE(first.Write(step));
    EXPECT_TRUE(first.Read());
    EXPECT_TRUE(last.Read());
    const int32_t token = last.result().slices(0).token_id();
    first.WritesDone();
    last.WritesDone();
    EXPECT_OK(first.Finish());
    EXPECT_OK(last.Finish());
    return token;
  }

  FakeNccl nccl_;
  std::unique_ptr<TestWorker> first_;
  std::unique_ptr<TestWorker> second_;
  std::vector<v1::LoadStageProgress> progress_;
};

TEST_F(OpenLinkTest, BothEndsUseNcclAndTheAnswerIsTheSame) {
  Start({.transport = Transport::kGrpc, .nccl = FakeEnd("GPU-a")}, {.nccl = FakeEnd("GPU-b")});
  ASSERT_OK(Load(1));
  EXPECT_EQ(loaded().link(), "grpc");
  EXPECT_THAT(loaded().link_reason(), HasSubstr("--transport grpc"));
  const int32_t expected = Token(1);
  StartBoth();
  ASSERT_OK(Load(1));
  EXPECT_EQ(loaded().link(), "nccl");
  EXPECT_THAT(loaded().link_reason(), HasSubstr("test of the link passed"));
  EXPECT_EQ(nccl_.num_open(), 2);
  EXPECT_EQ(Token(1), expected);
}

TEST_F(OpenLinkTest, NcclCarriesNumbersOfTheTypeThatWasAskedFor) {
  StartBoth();
  constexpr int64_t kNumbers = 4 * 40;  // tokens by hidden_dim
  ASSERT_OK(Load(1));
  Token(1);
  EXPECT_EQ(nccl_.last_sent_bytes(), kNumbers * 4);
  ASSERT_OK(Load(2, v1::ACTIVATION_TYPE_BF16));
  EXPECT_EQ(loaded().link(), "nccl");
  Token(2);
  EXPECT_EQ(nccl_.last_sent_bytes(), kNumbers * 2);
}

TEST_F(OpenLinkTest, ANewEpochGetsANewLink) {
  StartBoth();
  ASSERT_OK(Load(1));
  const int32_t expected = Token(1);
  ASSERT_OK(Load(2));
  EXPECT_EQ(loaded().link(), "nccl");
  EXPECT_EQ(nccl_.num_open(), 2) << "the old one is closed";
  EXPECT_EQ(Token(2), expected);
  ASSERT_OK(first_->Unload());
  ASSERT_OK(second_->Unload());
  EXPECT_EQ(nccl_.num_open(), 0);
}

TEST_F(OpenLinkTest, WhereNcclCannotBeGrpcIsUsedAndTheReasonSaid) {
  const struct {
    FakeNccl::Script script;
    NcclEnd first, second;
    const char* reason;
  } kCases[] = {
      {{},
       {.functions = absl::NotFoundError("there is no NCCL here")},
       FakeEnd("GPU-b"),
       "there is no NCCL here"},
      {{},
       FakeEnd("GPU-a"),
       {.functions = absl::NotFoundError("there is no NCCL there")},
       "the next stage's worker says: there is no NCCL there"},
      {{}, FakeEnd("GPU-a"), FakeEnd("GPU-a"), "both ends are on one GPU"},
      {{.connect_error = 5}, FakeEnd("GPU-a"), FakeEnd("GPU-b"), "connecting: invalid usage"},
      {{.corrupts = true},
       FakeEnd("GPU-a", absl::Milliseconds(300)),
       FakeEnd("GPU-b"),
       "NCCL brought"},
  };
  for (const auto& trouble : kCases) {
    nccl_.set_script(trouble.script);
    Start({.nccl = trouble.first}, {.nccl = trouble.second});
    ASSERT_OK(Load(1)) << trouble.reason;
    EXPECT_EQ(loaded().link(), "grpc");
    EXPECT_THAT(loaded().link_reason(), HasSubstr(trouble.reason));
    EXPECT_EQ(nccl_.num_open(), 0) << trouble.reason;
    Token(1);
  }
}

TEST_F(OpenLinkTest, NoIdIsMadeForAPeerThatRefuses) {
  Start({.nccl = FakeEnd("GPU-a")},
        {.nccl = {.functions = absl::FailedPreconditionError("its device is a CPU")}});
  ASSERT_OK(Load(1));
  EXPECT_THAT(loaded().link_reason(), HasSubstr("its device is a CPU"));
  EXPECT_EQ(nccl_.num_ids(), 0);
}

TEST_F(OpenLinkTest, AHangIsGivenUp) {
  for (const bool connects : {false, true}) {
    nccl_.set_script({.never_connects = !connects, .never_delivers = true});
    const absl::Duration timeout = absl::Milliseconds(connects ? 300 : 20);
    Start({.nccl = FakeEnd("GPU-a", timeout)}, {.nccl = FakeEnd("GPU-b", timeout)});
    ASSERT_OK(Load(1));
    EXPECT_EQ(loaded().link(), "grpc");
    EXPECT_THAT(loaded().link_reason(), HasSubstr("in time"));
    EXPECT_EQ(nccl_.num_open(), 0);
  }
}

TEST_F(OpenLinkTest, UnloadGivesUpAnOfferUnderWay) {
  nccl_.set_script({.never_connects = true});
  StartBoth();
  absl::Status loaded;
  std::thread loading(
      [&] { loaded = first_->Load(LoadRequest(1, 0, 2, second_->address()), &progress_); });
  nccl_.AwaitOpen(2);
  EXPECT_OK(first_->Unload());
  loading.join();
  EXPECT_THAT(loaded, StatusIs(absl::StatusCode::kCancelled, HasSubstr("abandoned")));
}

TEST_F(OpenLinkTest, AReceiverDoesNotWaitForASenderThatGaveUp) {
  nccl_.set_script({.never_connects = true});
  for (const bool dies : {false, true}) {
    StartBoth();
    std::thread loading(
        [&] { first_->Load(LoadRequest(1, 0, 2, second_->address())).IgnoreError(); });
    nccl_.AwaitOpen(2);
    if (dies) {
      first_->Shutdown();
    } else {
      EXPECT_OK(first_->Unload());
    }
    EXPECT_TRUE(nccl_.AwaitClosed(Clock::Real()->Now() + kLong / 2)) << "it waits for its time-out";
    loading.join();
  }
}

TEST_F(OpenLinkTest, AReceiverHearsWhyItsSenderGaveUp) {
  nccl_.set_script({.connect_error = 5, .connect_error_rank = 0});
  Start({.nccl = FakeEnd("GPU-a")}, {.transport = Transport::kNccl, .nccl = FakeEnd("GPU-b")});
  const absl::Time start = Clock::Real()->Now();
  EXPECT_THAT(Load(1), StatusIs(absl::StatusCode::kFailedPrecondition,
                                AllOf(HasSubstr("over NCCL only (--transport nccl)"),
                                      HasSubstr("the sender gave the link up: NCCL failed "
                                                "connecting: invalid usage"))));
  EXPECT_LT(Clock::Real()->Now() - start, kLong / 2) << "it waits for its time-out";
}

TEST_F(OpenLinkTest, ALoadThatFailsGivesUpItsOffer) {
  nccl_.set_script({.never_connects = true});
  Start({.memory_cap_bytes = 1, .nccl = FakeEnd("GPU-a")}, {.nccl = FakeEnd("GPU-b")});
  const absl::Time start = Clock::Real()->Now();
  EXPECT_THAT(first_->Load(LoadRequest(1, 0, 2, second_->address())),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_LT(Clock::Real()->Now() - start, kLong / 2);
}

TEST_F(OpenLinkTest, AReceiverThatStopsEndsALinkUnderWay) {
  nccl_.set_script({.never_connects = true});
  StartBoth();
  std::thread loading(
      [&] { EXPECT_OK(first_->Load(LoadRequest(1, 0, 2, second_->address()), &progress_)); });
  nccl_.AwaitOpen(2);
  second_->host().Stop();
  loading.join();
  EXPECT_THAT(loaded().link_reason(), HasSubstr("this worker is stopping"));
}

TEST_F(OpenLinkTest, ANewEpochEndsTheLastOnesLinkUnderWay) {
  nccl_.set_script({.never_connects = true});
  StartBoth();
  absl::Status joined;
  std::thread joining([&] {
    LinkBroker& links = second_->host().links();
    joined = links.Join(1, {}, links.MakePair(/*rank=*/1));
  });
  nccl_.AwaitOpen(1);
  EXPECT_OK(second_->Load(LoadRequest(2)));
  joining.join();
  EXPECT_THAT(joined, StatusIs(absl::StatusCode::kAborted, "the epoch is over"));
}

TEST_F(OpenLinkTest, NcclOnlyMeansNoGrpc) {
  nccl_.set_script({.connect_error = 5});
  StartBoth(Transport::kNccl);
  EXPECT_THAT(Load(1), StatusIs(absl::StatusCode::kFailedPrecondition,
                                AllOf(HasSubstr("--transport nccl"), HasSubstr("invalid usage"))));
}

TEST_F(OpenLinkTest, AReceiverThatWantsNcclOnlyRefusesOthers) {
  const NcclEnd without = {.functions = absl::FailedPreconditionError("its device is a CPU")};
  const struct {
    FakeNccl::Script script;
    StageHostOptions sender;
    NcclEnd receiver;
    const char* reason;
  } kCases[] = {
      {{}, {.nccl = without}, FakeEnd("GPU-b"), "its device is a CPU"},
      {{},
       {.transport = Transport::kGrpc, .nccl = FakeEnd("GPU-a")},
       FakeEnd("GPU-b"),
       "--transport grpc"},
      {{}, {.nccl = FakeEnd("GPU-a")}, without, "its device is a CPU"},
      {{.connect_error = 5}, {.nccl = FakeEnd("GPU-a")}, FakeEnd("GPU-b"), "invalid usage"},
  };
  for (const auto& trouble : kCases) {
    nccl_.set_script(trouble.script);
    Start(trouble.sender, {.transport = Transport::kNccl, .nccl = trouble.receiver});
    EXPECT_THAT(Load(1), StatusIs(absl::StatusCode::kFailedPrecondition,
                                  AllOf(HasSubstr(second_->address()),
                                        HasSubstr("over NCCL only (--transport nccl)"),
                                        HasSubstr(trouble.reason))));
  }
}

TEST_F(OpenLinkTest, AReceiverThatWantsNcclOnlyTakesNoActivationsByGrpc) {
  TestWorker worker({.transport = Transport::kNccl, .nccl = FakeEnd("GPU-b")});
  ASSERT_OK(worker.Load(LoadRequest(1, 2, 3)));
  EXPECT_THAT(worker.host().OpenSource(1),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("--transport nccl"), HasSubstr("the sender uses gRPC"))));
}

TEST_F(OpenLinkTest, AnotherVersionIsRefused) {
  StartBoth();
  v1::OpenLinkRequest::Offer offer;
  offer.set_epoch(1);
  offer.set_nccl_version(22703);
  EXPECT_THAT(second_->host().links().CheckOffer(offer),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("22809"), HasSubstr("22703"))));
}

TEST_F(OpenLinkTest, AnOfferOfAnEpochThatIsOverIsRefused) {
  StartBoth();
  ASSERT_OK(Load(5));
  v1::OpenLinkRequest::Offer offer;
  offer.set_epoch(4);
  offer.set_nccl_version(22809);
  EXPECT_THAT(second_->host().links().CheckOffer(offer),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is in epoch 5")));
  EXPECT_FALSE(second_->host().links().Agree(4, {}).ok());
}

TEST_F(OpenLinkTest, AStageThatWaitsForALinkThatHangsIsUnloadedAtOnce) {
  StartBoth();
  ASSERT_OK(Load(1));
  ExecuteCall last(*second_);
  ASSERT_TRUE(last.Write(GreedyStep(1, 1, 0, {5, 6})));
  ASSERT_OK(second_->Unload());
  // The unload may overtake the call, which then finds no stage.
  EXPECT_THAT(last.Finish(), AnyOf(StatusIs(absl::StatusCode::kAborted),
                                   StatusIs(absl::StatusCode::kFailedPrecondition)));
}

TEST_F(OpenLinkTest, AStageInTheMiddleEndsBothItsLinksThoughTheNextStageHangs) {
  TestWorker first({.nccl = FakeEnd("GPU-a")}), middle({.nccl = FakeEnd("GPU-b")}),
      last({.nccl = FakeEnd("GPU-c")});
  std::thread loading_last([&] { EXPECT_OK(last.Load(LoadRequest(1, 2, 3))); });
  std::thread loading_middle([&] { EXPECT_OK(middle.Load(LoadRequest(1, 1, 2, last.address()))); });
  EXPECT_OK(first.Load(LoadRequest(1, 0, 1, middle.address())));
  loading_middle.join();
  loading_last.join();
  nccl_.set_script({.one_device = true});
  ExecuteCall to_middle(middle), to_first(first);
  const v1::Step step = GreedyStep(1, 1, 0, {5, 6});
  ASSERT_TRUE(to_middle.Write(step));
  ASSERT_TRUE(to_first.Write(step));
  ASSERT_TRUE(to_middle.Read()) << "it has sent on, to a stage that does not receive";
  EXPECT_OK(middle.Unload());
  EXPECT_EQ(nccl_.num_stuck(), 0) << "closing one link waited for the other";
}

}  // namespace
}  // namespace layercake
