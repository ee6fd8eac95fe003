#include "worker/engine/stage_executor.h"

#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/testing/in_process_link.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kNumBlocks = 16;
constexpr uint64_t kEpoch = 7;

bool GoOn(int64_t, int64_t) { return true; }

// A model cut into stages that hand activations on through queues.
class Pipeline {
 public:
  Pipeline(const Checkpoint& checkpoint, const std::vector<int64_t>& cuts,
           const StageLimits& limits, Device& device) {
    const int64_t num_layers = checkpoint.config().num_layers;
    int64_t first = 0;
    for (size_t i = 0; i <= cuts.size(); ++i) {
      const bool last = i == cuts.size();
      const int64_t end = last ? num_layers : cuts[i];
      const StageShape shape = {{first, end - first, i == 0, last}, limits, kNumBlocks};
      auto stage = StageExecutor::Load(checkpoint, shape, device, *Clock::Real(), GoOn);
      EXPECT_OK(stage);
      (*stage)->StartEpoch(kEpoch);
      stages_.push_back(*std::move(stage));
      if (i > 0) {
        queues_.push_back(
            std::make_unique<ActivationQueue>(DType::kF32, stages_.back()->incoming(), device));
        sinks_.push_back(std::make_unique<InProcessSink>(*queues_.back()));
      }
      first = end;
    }
  }

  absl::StatusOr<StepOutput> Run(StepRequest step) {
    step.epoch = kEpoch;
    step.step_id = ++last_step_;
    absl::StatusOr<StepOutput> output;
    for (size_t i = 0; i < stages_.size(); ++i) {
      output = stages_[i]->Run(step, {i == 0 ? nullptr : queues_[i - 1].get(),
                                      i + 1 == stages_.size() ? nullptr : sinks_[i].get()});
      if (!output.ok()) return output;
      EXPECT_EQ(output->step_id, last_step_);
    }
    return output;
  }

  StageExecutor& stage(size_t i) { return *stages_[i]; }

 private:
  std::vector<std::unique_ptr<StageExecutor>> stages_;
  std::vector<std::unique_ptr<ActivationQueue>> queues_;
  std::vector<std::unique_ptr<InProcessSink>> sinks_;
  uint64_t last_step_ = 0;
};

class StageExecutorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string directory = LAYERCAKE_SOURCE_DIR "/tests/golden/models/llama-gqa";
    LC_ASSERT_OK_AND_ASSIGN(checkpoint_, Checkpoint::Open(directory));
    LC_ASSERT_OK_AND_ASSIGN(device_, Device::CreateCpu(2));
    expected_ = json::parse(std::ifstream(directory + "/expected.json"))["prompts"].back();
    prompt_ = expected_["ids"].get<std::vector<int32_t>>();
    limits_ = {
        .max_step_tokens = 48, .max_batch_sequences = 4, .max_context_tokens = kNumBlocks * 16};
  }

  // `count` tokens of the prompt from `position` on.
  SliceRequest Slice(int64_t position, int64_t count) {
    SliceRequest slice;
    slice.view = {position, count, blocks_};
    slice.sampling.temperature = 0;
    return slice;
  }
  std::span<const int32_t> Ids(int64_t position, int64_t count) {
    return std::span(prompt_).subspan(position, count);
  }
  StepRequest PromptStep(int64_t count) {
    StepRequest step;
    step.slices = {Slice(0, count)};
    step.token_ids = Ids(0, count);
    return step;
  }

  // The prompt in two chunks, then greedy tokens: ids and log-probabilities.
  std::vector<SampledToken> Generate(Pipeline& pipeline, int count) {
    std::vector<SampledToken> tokens;
    StepRequest step = PromptStep(19);
    EXPECT_OK(pipeline.Run(step));
    int64_t position = 19;
    std::vector<int32_t> ids(prompt_.begin() + position, prompt_.end());
    for (int i = 0; i < count; ++i) {
      step.slices = {Slice(position, static_cast<int64_t>(ids.size()))};
      step.slices[0].sample = true;
      step.slices[0].sampling.logprobs = true;
      step.slices[0].sampling.top_logprobs = 3;
      step.token_ids = ids;
      const auto output = pipeline.Run(step);
      EXPECT_OK(output);
      tokens.push_back(*output->slices[0].sampled);
      position += static_cast<int64_t>(ids.size());
      ids = {tokens.back().token_id};
    }
    return tokens;
  }

  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Device> device_;
  json expected_;
  std::vector<int32_t> prompt_;
  std::vector<int32_t> blocks_ = {3, 1, 4, 15, 9, 2, 6};
  StageLimits limits_;
};

TEST_F(StageExecutorTest, OneTwoAndThreeStagesAnswerAlikeToTheBit) {
  Pipeline whole(*checkpoint_, {}, limits_, *device_);
  const auto expected = Generate(whole, 20);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(expected[i].token_id, expected_["greedy_ids"][i].get<int32_t>()) << i;
    EXPECT_NEAR(expected[i].logprob, expected_["greedy_logprobs"][i].get<float>(), 1e-4) << i;
  }
  for (const std::vector<int64_t>& cuts :
       std::vector<std::vector<int64_t>>{{1}, {2}, {1, 2}, {0}, {3}}) {
    SCOPED_TRACE(::testing::PrintToString(cuts));
    Pipeline pipeline(*checkpoint_, cuts, limits_, *device_);
    const auto tokens = Generate(pipeline, 20);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(tokens[i].token_id, expected[i].token_id);
      EXPECT_EQ(tokens[i].logprob, expected[i].logprob);
      for (size_t j = 0; j < 3; ++j)
        EXPECT_EQ(tokens[i].top[j].logprob, expected[i].top[j].logprob);
    }
  }
}

TEST_F(StageExecutorTest, KnownTokensAreScoredInGroupsThatFitTheWorkspace) {
  Pipeline pipeline(*checkpoint_, {1}, limits_, *device_);
  const int64_t count = static_cast<int64_t>(prompt_.size());
  ASSERT_GT(count, 3 * limits_.max_batch_sequences);
  StepRequest step = PromptStep(count);
  step.slices[0].known_next_ids = Ids(1, count - 1);
  step.slices[0].known_top_logprobs = 2;
  step.slices[0].sample = true;
  LC_ASSERT_OK_AND_ASSIGN(const StepOutput output, pipeline.Run(step));
  const SliceOutput& slice = output.slices[0];
  ASSERT_EQ(static_cast<int64_t>(slice.known.size()), count - 1);
  for (int64_t i = 0; i + 1 < count; ++i) {
    EXPECT_EQ(slice.known[i].token_id, prompt_[i + 1]);
    EXPECT_NEAR(slice.known[i].logprob, expected_["prompt_logprobs"][i].get<float>(), 1e-4);
    EXPECT_EQ(slice.known[i].top.size(), 2u);
  }
  EXPECT_EQ(slice.sampled->token_id, expected_["greedy_ids"][0].get<int32_t>());
}

TEST_F(StageExecutorTest, ATokenCanBeScoredAndSampledAtOnce) {
  Pipeline pipeline(*checkpoint_, {}, limits_, *device_);
  StepRequest step = PromptStep(5);
  step.slices[0].known_next_ids = Ids(1, 5);
  step.slices[0].sample = true;
  // A penalty, so that sampling overwrites logits that scoring must not see overwritten.
  const std::vector<int32_t> seen = {1, 2, 3}, counts = {0, 0, 0};
  step.slices[0].sampling.repetition_penalty = 3;
  step.slices[0].sampling.history_ids = seen;
  step.slices[0].sampling.history_counts = counts;
  LC_ASSERT_OK_AND_ASSIGN(const StepOutput output, pipeline.Run(step));
  EXPECT_NEAR(output.slices[0].known[4].logprob, expected_["prompt_logprobs"][4].get<float>(),
              1e-4);
}

TEST_F(StageExecutorTest, SlicesOfOneStepDoNotSeeEachOther) {
  Pipeline alone(*checkpoint_, {}, limits_, *device_);
  StepRequest step = PromptStep(9);
  step.slices[0].sample = step.slices[0].sampling.logprobs = true;
  LC_ASSERT_OK_AND_ASSIGN(const StepOutput expected, alone.Run(step));

  Pipeline together(*checkpoint_, {2}, limits_, *device_);
  const std::vector<int32_t> other_blocks = {0, 5};
  std::vector<int32_t> ids(prompt_.begin() + 9, prompt_.begin() + 29);
  ids.insert(ids.end(), prompt_.begin(), prompt_.begin() + 9);
  StepRequest both;
  both.slices = {Slice(0, 20), step.slices[0]};
  both.slices[0].view.block_ids = other_blocks;
  both.token_ids = ids;
  LC_ASSERT_OK_AND_ASSIGN(const StepOutput output, together.Run(both));
  EXPECT_EQ(output.slices[0].sampled, std::nullopt);
  EXPECT_EQ(output.slices[1].sampled->token_id, expected.slices[0].sampled->token_id);
  EXPECT_EQ(output.slices[1].sampled->logprob, expected.slices[0].sampled->logprob);
}

TEST_F(StageExecutorTest, OnlyTheEpochAndTheStepThatAreDueRun) {
  Pipeline pipeline(*checkpoint_, {}, limits_, *device_);
  StageExecutor& stage = pipeline.stage(0);
  StepRequest step = PromptStep(3);
  step.epoch = kEpoch - 1;
  step.step_id = 1;
  EXPECT_THAT(stage.Run(step, {}), StatusIs(absl::StatusCode::kFailedPrecondition,
                                            AllOf(HasSubstr("epoch 6"), HasSubstr("epoch 7"))));
  stage.StartEpoch(kEpoch);
  step.epoch = kEpoch;
  step.step_id = 2;
  EXPECT_THAT(stage.Run(step, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("step 2 came where step 1")));
}

TEST_F(StageExecutorTest, AnErrorLosesTheEpochAndANewOneGoesOn) {
  Pipeline pipeline(*checkpoint_, {}, limits_, *device_);
  StageExecutor& stage = pipeline.stage(0);
  StepRequest bad = PromptStep(3);
  const std::vector<int32_t> blocks = {kNumBlocks};
  bad.slices[0].view.block_ids = blocks;
  EXPECT_THAT(pipeline.Run(bad),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("block id 16")));
  EXPECT_THAT(pipeline.Run(PromptStep(3)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("block id 16")));
  stage.StartEpoch(kEpoch + 1);
  StepRequest good = PromptStep(3);
  good.epoch = kEpoch + 1;
  good.step_id = 1;
  EXPECT_OK(stage.Run(good, {}));
  EXPECT_EQ(stage.num_steps(), 1u);
  EXPECT_EQ(stage.step_running(), std::nullopt);
}

TEST_F(StageExecutorTest, SamplingOutOfRangeNamesStepAndSlice) {
  Pipeline pipeline(*checkpoint_, {}, limits_, *device_);
  StepRequest step = PromptStep(3);
  step.slices[0].sample = true;
  step.slices[0].sampling.temperature = -1;
  EXPECT_THAT(pipeline.Run(step),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("step 1, slice 0")));
}

TEST_F(StageExecutorTest, NumbersThatAreNoneEndTheirOwnSliceOnly) {
  const StageShape shape = {{1, 2, false, true}, limits_, kNumBlocks};
  LC_ASSERT_OK_AND_ASSIGN(const auto stage,
                          StageExecutor::Load(*checkpoint_, shape, *device_, *Clock::Real(), GoOn));
  stage->StartEpoch(kEpoch);
  ActivationQueue queue(DType::kF32, stage->incoming(), *device_);
  const auto hidden_dim = static_cast<size_t>(checkpoint_->config().hidden_dim);
  const auto push = [&](uint64_t step_id, float first) {
    std::vector<float> hidden(2 * hidden_dim, 0.5f);
    hidden[0] = first;
    const std::string bytes(reinterpret_cast<const char*>(hidden.data()), hidden.size() * 4);
    ASSERT_OK(queue.Push(step_id, bytes));
  };
  const std::vector<int32_t> other_blocks = {9};
  StepRequest step;
  step.epoch = kEpoch;
  step.slices = {Slice(0, 1), Slice(0, 1)};
  step.slices[0].sample = step.slices[1].sample = true;
  step.slices[1].view.block_ids = other_blocks;
  step.token_ids = Ids(0, 2);

  step.step_id = 1;
  push(1, std::numeric_limits<float>::quiet_NaN());
  LC_ASSERT_OK_AND_ASSIGN(StepOutput output, stage->Run(step, {.source = &queue}));
  EXPECT_THAT(output.slices[0].error,
              StatusIs(absl::StatusCode::kInternal,
                       AllOf(HasSubstr("step 1, slice 0"), HasSubstr("logit"))));
  EXPECT_EQ(output.slices[0].sampled, std::nullopt);
  EXPECT_OK(output.slices[1].error);
  EXPECT_NE(output.slices[1].sampled, std::nullopt);

  // The stage goes on, and nothing of it sticks to the blocks.
  const int32_t healthy = output.slices[1].sampled->token_id;
  step.step_id = 2;
  push(2, 0.5f);
  LC_ASSERT_OK_AND_ASSIGN(output, stage->Run(step, {.source = &queue}));
  EXPECT_OK(output.slices[0].error);
  EXPECT_EQ(output.slices[0].sampled->token_id, healthy);
}

TEST_F(StageExecutorTest, ABrokenLinkIsTheStepsError) {
  const StageShape shape = {{1, 2, false, true}, limits_, kNumBlocks};
  LC_ASSERT_OK_AND_ASSIGN(const auto stage,
                          StageExecutor::Load(*checkpoint_, shape, *device_, *Clock::Real(), GoOn));
  stage->StartEpoch(kEpoch);
  ActivationQueue queue(DType::kF32, stage->incoming(), *device_);
  queue.EndOfStream(absl::UnavailableError("10.0.0.1:5 is gone"));
  StepRequest step = PromptStep(3);
  step.epoch = kEpoch;
  step.step_id = 1;
  EXPECT_THAT(stage->Run(step, {.source = &queue}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("10.0.0.1:5")));
}

TEST_F(StageExecutorTest, BytesAreThosePromised) {
  for (const LayerRange& range : {LayerRange{0, 2, true, false}, LayerRange{1, 1, false, false},
                                  LayerRange{1, 2, false, true}, LayerRange{0, 3, true, true}}) {
    const StageShape shape = {range, limits_, kNumBlocks};
    const StageBytes promised = CountStageBytes(checkpoint_->config(), shape);
    LC_ASSERT_OK_AND_ASSIGN(
        const auto stage, StageExecutor::Load(*checkpoint_, shape, *device_, *Clock::Real(), GoOn));
    EXPECT_EQ(stage->bytes().weights, promised.weights);
    EXPECT_EQ(stage->bytes().kv, promised.kv);
    EXPECT_EQ(stage->bytes().workspace, promised.workspace);
  }
}

TEST_F(StageExecutorTest, ALoadCanBeAbandoned) {
  const StageShape shape = {{0, 3, true, true}, limits_, kNumBlocks};
  EXPECT_THAT(StageExecutor::Load(*checkpoint_, shape, *device_, *Clock::Real(),
                                  [](int64_t, int64_t) { return false; }),
              StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace layercake
