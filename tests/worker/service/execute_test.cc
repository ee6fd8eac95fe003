// Stage.Execute and Stage.Activate over loopback.

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/worker/service/worker_fixture.h"

namespace layercake {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ExecuteTest : public ::testing::Test {
 protected:
  ExecuteTest() {
    const json prompt =
        json::parse(std::ifstream(GoldenModel() + "/expected.json"))["prompts"].back();
    prompt_ = prompt["ids"].get<std::vector<int32_t>>();
    greedy_ = prompt["greedy_ids"].get<std::vector<int32_t>>();
  }

  // The prompt, then one token a step, through all `calls`; the last one samples.
  std::vector<int32_t> Generate(uint64_t epoch, const std::vector<ExecuteCall*>& calls, int count) {
    std::vector<int32_t> tokens;
    std::vector<int32_t> ids = prompt_;
    int position = 0;
    for (int i = 0; i < count; ++i) {
      const v1::Step step = GreedyStep(epoch, i + 1, position, ids);
      for (ExecuteCall* call : calls) EXPECT_TRUE(call->Write(step));
      for (ExecuteCall* call : calls) {
        EXPECT_TRUE(call->Read());
        EXPECT_EQ(call->result().step_id(), static_cast<uint64_t>(i + 1));
        EXPECT_EQ(call->result().slices_size(), call == calls.back() ? 1 : 0);
      }
      if (calls.back()->result().slices_size() != 1) return tokens;
      tokens.push_back(calls.back()->result().slices(0).token_id());
      position += static_cast<int>(ids.size());
      ids.assign(1, tokens.back());
    }
    return tokens;
  }
  std::vector<int32_t> Greedy(int count) { return {greedy_.begin(), greedy_.begin() + count}; }

  std::vector<int32_t> prompt_, greedy_;
};

TEST_F(ExecuteTest, OneStageGeneratesAndEndsWell) {
  TestWorker worker;
  ASSERT_OK(worker.Load(LoadRequest(1)));
  ExecuteCall call(worker);
  EXPECT_EQ(Generate(1, {&call}, 12), Greedy(12));
  EXPECT_GT(call.result().compute_time().nanos(), 0);
  EXPECT_EQ(worker.host().Stats().num_steps, 12u);
  call.WritesDone();
  EXPECT_OK(call.Finish());
}

TEST_F(ExecuteTest, StagesLinkedOverGrpcGenerateTheSame) {
  TestWorker first, second, third;
  ASSERT_OK(third.Load(LoadRequest(9, 2, 3)));
  ASSERT_OK(second.Load(LoadRequest(9, 1, 2, third.address())));
  ASSERT_OK(first.Load(LoadRequest(9, 0, 1, second.address())));
  ExecuteCall a(first), b(second), c(third);
  EXPECT_EQ(Generate(9, {&a, &b, &c}, 12), Greedy(12));
  for (ExecuteCall* call : {&a, &b, &c}) call->WritesDone();
  EXPECT_OK(a.Finish());
  EXPECT_OK(b.Finish());
  EXPECT_OK(c.Finish());
}

TEST_F(ExecuteTest, StepsQueuedAtHalfCloseAreStillDone) {
  TestWorker first, second;
  ASSERT_OK(second.Load(LoadRequest(1, 1, 3)));
  ASSERT_OK(first.Load(LoadRequest(1, 0, 1, second.address())));
  ExecuteCall a(first), b(second);
  for (int i = 0; i < 10; ++i) {
    const v1::Step step = GreedyStep(1, i + 1, i, {prompt_[i]});
    ASSERT_TRUE(a.Write(step));
    ASSERT_TRUE(b.Write(step));
  }
  a.WritesDone();
  b.WritesDone();
  for (uint64_t i = 1; i <= 10; ++i) {
    ASSERT_TRUE(b.Read());
    EXPECT_EQ(b.result().step_id(), i);
  }
  EXPECT_OK(a.Finish());
  EXPECT_OK(b.Finish());
}

TEST_F(ExecuteTest, LogprobsComeWhenAskedFor) {
  TestWorker worker;
  ASSERT_OK(worker.Load(LoadRequest(1)));
  ExecuteCall call(worker);
  v1::Step step = GreedyStep(1, 1, 0, prompt_);
  ASSERT_TRUE(call.Write(step));
  ASSERT_TRUE(call.Read());
  EXPECT_FALSE(call.result().slices(0).has_logprobs());
  step = GreedyStep(1, 2, static_cast<int>(prompt_.size()), {greedy_[0], greedy_[1]});
  step.mutable_slices(0)->mutable_sampling()->set_logprobs(true);
  step.mutable_slices(0)->mutable_sampling()->set_top_logprobs(2);
  step.mutable_slices(0)->add_known_next_ids(greedy_[1]);
  step.mutable_slices(0)->set_known_top_logprobs(1);
  ASSERT_TRUE(call.Write(step));
  ASSERT_TRUE(call.Read());
  const v1::SliceResult& slice = call.result().slices(0);
  EXPECT_EQ(slice.token_id(), greedy_[2]);
  EXPECT_EQ(slice.logprobs().chosen().token_id(), greedy_[2]);
  EXPECT_LT(slice.logprobs().chosen().logprob(), 0);
  EXPECT_EQ(slice.logprobs().top_size(), 2);
  ASSERT_EQ(slice.known_size(), 1);
  EXPECT_EQ(slice.known(0).chosen().token_id(), greedy_[1]);
  EXPECT_EQ(slice.known(0).top(0).token_id(), greedy_[1]) << "greedy: the likeliest";
}

TEST_F(ExecuteTest, WithoutAStageOrOfAnotherEpochItIsRefused) {
  TestWorker worker;
  {
    ExecuteCall call(worker);
    call.Write(GreedyStep(1, 1, 0, {1}));
    EXPECT_THAT(call.Finish(),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no stage loaded")));
  }
  ASSERT_OK(worker.Load(LoadRequest(3)));
  ExecuteCall call(worker);
  call.Write(GreedyStep(2, 1, 0, {1}));
  EXPECT_THAT(call.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                      AllOf(HasSubstr("epoch 2"), HasSubstr("in epoch 3"))));
}

TEST_F(ExecuteTest, AnEpochHasOneCall) {
  TestWorker worker;
  ASSERT_OK(worker.Load(LoadRequest(1)));
  ExecuteCall call(worker);
  EXPECT_EQ(Generate(1, {&call}, 2), Greedy(2));
  ExecuteCall other(worker);
  other.Write(GreedyStep(1, 1, 0, {1}));
  EXPECT_THAT(other.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                       HasSubstr("has had its Execute call")));
  ASSERT_OK(worker.Load(LoadRequest(2)));
  ExecuteCall again(worker);
  EXPECT_EQ(Generate(2, {&again}, 2), Greedy(2)) << "the weights stayed, KV began anew";
}

TEST_F(ExecuteTest, ABadStepEndsTheCallInWords) {
  TestWorker worker;
  ASSERT_OK(worker.Load(LoadRequest(1)));
  ExecuteCall call(worker);
  v1::Step step = GreedyStep(1, 1, 0, {1, 2});
  step.mutable_slices(0)->set_block_ids(0, 99);
  ASSERT_TRUE(call.Write(step));
  EXPECT_THAT(call.Finish(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("block id 99")));
}

TEST_F(ExecuteTest, AStepOfAnotherEpochOnAnOpenCallEndsIt) {
  TestWorker worker;
  ASSERT_OK(worker.Load(LoadRequest(4)));
  ExecuteCall call(worker);
  EXPECT_EQ(Generate(4, {&call}, 1), Greedy(1));
  call.Write(GreedyStep(3, 2, 0, {1}));
  EXPECT_THAT(call.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                      AllOf(HasSubstr("epoch 3"), HasSubstr("epoch 4"))));
}

TEST_F(ExecuteTest, UnloadEndsTheCall) {
  TestWorker worker;
  ASSERT_OK(worker.Load(LoadRequest(1)));
  ExecuteCall call(worker);
  EXPECT_EQ(Generate(1, {&call}, 1), Greedy(1));
  ASSERT_OK(worker.Unload());
  EXPECT_THAT(call.Finish(), StatusIs(absl::StatusCode::kAborted, HasSubstr("unloaded")));
}

// A stage without the embedding, whose previous stage is this test: one step has run, and both
// calls are open.
class LastStageTest : public ExecuteTest {
 protected:
  void SetUp() override {
    ASSERT_OK(worker_.Load(LoadRequest(1, 1, 3)));
    LC_ASSERT_OK_AND_ASSIGN(const auto checkpoint, Checkpoint::Open(GoldenModel()));
    v1::Activation activation;
    activation.set_epoch(1);
    activation.set_step_id(1);
    activation.mutable_hidden()->resize(checkpoint->config().hidden_dim * sizeof(float));
    writer_ = worker_.stub().Activate(&context_, &response_);
    ASSERT_TRUE(writer_->Write(activation));
    call_ = std::make_unique<ExecuteCall>(worker_);
    ASSERT_TRUE(call_->Write(GreedyStep(1, 1, 0, {1})));
    ASSERT_TRUE(call_->Read());
  }

  TestWorker worker_;
  grpc::ClientContext context_;
  v1::ActivateResponse response_;
  std::unique_ptr<grpc::ClientWriter<v1::Activation>> writer_;
  std::unique_ptr<ExecuteCall> call_;
};

TEST_F(LastStageTest, ANewEpochEndsTheCallOfTheOldThoughItWaitsForActivations) {
  ASSERT_TRUE(call_->Write(GreedyStep(1, 2, 1, {1})));
  ASSERT_OK(worker_.Load(LoadRequest(2, 1, 3)));
  EXPECT_THAT(call_->Finish(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("epoch 2 is being loaded")));
  writer_->WritesDone();
  EXPECT_OK(FromGrpcStatus(writer_->Finish()));
}

TEST_F(LastStageTest, ABrokenLinkEndsAStepThatWaitsForIt) {
  ASSERT_TRUE(call_->Write(GreedyStep(1, 2, 1, {1})));
  context_.TryCancel();
  writer_->Finish();
  EXPECT_THAT(call_->Finish(),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("the link from the previous stage at ipv4:127.0.0.1")));
}

TEST_F(LastStageTest, ActivationsOfTheWrongSizeAreDataLoss) {
  v1::Activation activation;
  activation.set_epoch(1);
  activation.set_step_id(2);
  activation.set_hidden("short");
  ASSERT_TRUE(writer_->Write(activation));
  ASSERT_TRUE(call_->Write(GreedyStep(1, 2, 1, {1})));
  EXPECT_THAT(call_->Finish(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("has 5 bytes")));
  writer_->WritesDone();
  writer_->Finish();
}

TEST_F(LastStageTest, ARefusedActivationEndsAStepThatWaitsForIt) {
  ASSERT_TRUE(call_->Write(GreedyStep(1, 2, 1, {1})));
  v1::Activation activation;
  activation.set_epoch(7);
  ASSERT_TRUE(writer_->Write(activation));
  EXPECT_THAT(call_->Finish(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("an activation of epoch 7 came on a link")));
  EXPECT_FALSE(writer_->Finish().ok());
}

TEST_F(LastStageTest, ShutdownDoesNotWaitForSilentPeers) {
  ASSERT_TRUE(call_->Write(GreedyStep(1, 2, 1, {1})));
  const absl::Time began = Clock::Real()->Now();
  worker_.Shutdown();
  EXPECT_LT(Clock::Real()->Now() - began, absl::Seconds(5));
  EXPECT_THAT(call_->Finish(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(writer_->Finish().ok());
}

TEST_F(ExecuteTest, ACoordinatorThatGoesAwayFreesTheStageForTheNextEpoch) {
  TestWorker worker;
  ASSERT_OK(worker.Load(LoadRequest(1, 1, 3)));
  {
    ExecuteCall call(worker);
    ASSERT_TRUE(call.Write(GreedyStep(1, 1, 0, {1})));
    call.Cancel();
    EXPECT_THAT(call.Finish(), StatusIs(absl::StatusCode::kCancelled));
  }
  ASSERT_OK(worker.Load(LoadRequest(2)));
  ExecuteCall call(worker);
  EXPECT_EQ(Generate(2, {&call}, 2), Greedy(2));
}

TEST_F(ExecuteTest, ADeadNextStageIsUnavailableByItsAddress) {
  TestWorker first;
  auto second = std::make_unique<TestWorker>();
  const std::string address = second->address();
  ASSERT_OK(second->Load(LoadRequest(1, 1, 3)));
  ASSERT_OK(first.Load(LoadRequest(1, 0, 1, address)));
  ExecuteCall a(first), b(*second);
  EXPECT_EQ(Generate(1, {&a, &b}, 2), Greedy(2));
  second->Die();
  // A send that only fills buffers goes well; the break shows at the latest in the sends after it.
  for (uint64_t id = 3; id < 1000 && a.Write(GreedyStep(1, id, 0, {1})); ++id) {
    if (!a.Read()) break;
  }
  EXPECT_THAT(a.Finish(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(address)));
}

TEST_F(ExecuteTest, ADeadPreviousStageIsUnavailable) {
  auto first = std::make_unique<TestWorker>();
  TestWorker second;
  ASSERT_OK(second.Load(LoadRequest(1, 1, 3)));
  ASSERT_OK(first->Load(LoadRequest(1, 0, 1, second.address())));
  ExecuteCall b(second);
  {
    ExecuteCall a(*first);
    EXPECT_EQ(Generate(1, {&a, &b}, 2), Greedy(2));
    ASSERT_TRUE(b.Write(GreedyStep(1, 3, 0, {1})));
  }
  EXPECT_THAT(b.Finish(), StatusIs(absl::StatusCode::kUnavailable,
                                   HasSubstr("the link from the previous stage at ipv4:127")));
}

TEST_F(ExecuteTest, ANextStageThatWasNotLoadedSaysWhy) {
  TestWorker first, second;
  ASSERT_OK(first.Load(LoadRequest(1, 0, 1, second.address())));
  ExecuteCall call(first);
  for (uint64_t id = 1; id < 1000 && call.Write(GreedyStep(1, id, 0, {1})); ++id) {
    if (!call.Read()) break;
  }
  EXPECT_THAT(call.Finish(),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr(second.address()), HasSubstr("no stage loaded"))));
}

TEST_F(ExecuteTest, ActivationsOfAnotherEpochOrASecondSenderAreRefused) {
  TestWorker worker;
  ASSERT_OK(worker.Load(LoadRequest(2, 1, 3)));
  const auto send = [&](std::vector<uint64_t> epochs) {
    grpc::ClientContext context;
    v1::ActivateResponse response;
    const auto writer = worker.stub().Activate(&context, &response);
    v1::Activation activation;
    for (const uint64_t epoch : epochs) {
      activation.set_epoch(epoch);
      if (!writer->Write(activation)) break;
    }
    writer->WritesDone();
    return FromGrpcStatus(writer->Finish());
  };
  EXPECT_THAT(send({1}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("epoch 1")));
  EXPECT_THAT(send({2, 1}), StatusIs(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("epoch 1 came on a link of epoch 2")));
  EXPECT_THAT(send({2}), StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr("has had its Activate call")));
  ASSERT_OK(worker.Load(LoadRequest(3)));
  EXPECT_THAT(send({3}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("first stage")));
}

TEST_F(ExecuteTest, ShutdownEndsOpenCallsInWords) {
  TestWorker worker;
  ASSERT_OK(worker.Load(LoadRequest(1)));
  ExecuteCall running(worker);
  EXPECT_EQ(Generate(1, {&running}, 1), Greedy(1));
  worker.Shutdown();
  EXPECT_THAT(running.Finish(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("worker w is shutting down")));
}

}  // namespace
}  // namespace layercake
