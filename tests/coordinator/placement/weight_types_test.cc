#include "coordinator/placement/weight_types.h"

#include "common/model/costs.h"
#include "coordinator/placement/refusal.h"
#include "tests/coordinator/placement/fixtures.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr double kGiB = 1 << 30;

v1::PlanOptions Auto(int context = 0) {
  v1::PlanOptions options;
  options.set_weight_type(v1::WEIGHT_TYPE_AUTO);
  options.set_context_tokens(context);
  return options;
}

int64_t AllBytes(const ModelConfig& model) {
  return StageWeightBytes(model, {0, model.num_layers, true, true});
}

TEST(WeightTypesTest, GroupsAreOfLayersMatricesAlone) {
  const ModelConfig model = Llama3_8B();
  const double matrices = 32.0 * (4096.0 * 6144 + 4096.0 * 4096 + 3 * 4096.0 * 14336);
  const double rest = static_cast<double>(AllBytes(model)) - 2 * matrices;
  // An f16 scale for 128 weights; int4 has 4 bits of zero beside it.
  EXPECT_DOUBLE_EQ(static_cast<double>(AllBytes(WithWeightType(model, v1::WEIGHT_TYPE_INT8))),
                   rest + matrices * (1 + 2.0 / 128));
  EXPECT_DOUBLE_EQ(static_cast<double>(AllBytes(WithWeightType(model, v1::WEIGHT_TYPE_INT4))),
                   rest + matrices * (0.5 + 2.5 / 128));
  EXPECT_EQ(WeightTypeOf(WithWeightType(model, v1::WEIGHT_TYPE_INT4)), v1::WEIGHT_TYPE_INT4);
  EXPECT_EQ(WithWeightType(model, v1::WEIGHT_TYPE_F32).dtype, DType::kF32);
  EXPECT_EQ(AllBytes(WithWeightType(model, v1::WEIGHT_TYPE_F16)), AllBytes(model));
}

TEST(WeightTypesTest, ACheckpointsOwnQuantizationStaysUnlessAnotherIsAsked) {
  ModelConfig model = Llama3_8B();
  model.quantization = Quantization{.method = "gptq", .bits = 4};
  model.tensor_bytes = TensorBytes{.embedding = 1, .layers = std::vector<int64_t>(32, 1)};
  EXPECT_EQ(WeightTypeOf(model), v1::WEIGHT_TYPE_UNSPECIFIED);
  EXPECT_EQ(AllBytes(WithWeightType(model, v1::WEIGHT_TYPE_UNSPECIFIED)), 33);
  EXPECT_EQ(AllBytes(WithWeightType(model, v1::WEIGHT_TYPE_BF16)), AllBytes(Llama3_8B()));
}

TEST(WeightTypesTest, AutoIsTheMostPreciseThatFits) {
  const struct {
    double gib;
    v1::WeightType type;
  } kCases[] = {{20, v1::WEIGHT_TYPE_BF16}, {12, v1::WEIGHT_TYPE_INT8}, {8, v1::WEIGHT_TYPE_INT4}};
  for (const auto& c : kCases) {
    LC_ASSERT_OK_AND_ASSIGN(
        const v1::Plan plan,
        MakePlan(Llama3_8B(), std::vector{Gpu("card", c.gib * kGiB)}, Auto(4096), "llama"));
    EXPECT_EQ(plan.weight_type(), c.type) << c.gib;
    ASSERT_EQ(plan.weight_proposals_size(), 3);
    for (const v1::WeightProposal& proposal : plan.weight_proposals()) {
      EXPECT_EQ(proposal.fits(), proposal.weight_type() >= c.type) << proposal.verdict();
      EXPECT_THAT(proposal.verdict(),
                  proposal.fits() ? HasSubstr("fits: card") : HasSubstr("GiB in total"));
    }
  }
}

TEST(WeightTypesTest, ShortContextsAreNoReasonToKeepPrecision) {
  // 16-bit weights would leave room for a few hundred tokens.
  LC_ASSERT_OK_AND_ASSIGN(
      const v1::Plan plan,
      MakePlan(Llama3_8B(), std::vector{Gpu("card", 15.6 * kGiB)}, Auto(), "llama"));
  EXPECT_EQ(plan.weight_type(), v1::WEIGHT_TYPE_INT8);
  EXPECT_EQ(plan.max_context_tokens(), 8192);
  // But where nothing has room for a useful one, the most precise that runs at all is it.
  LC_ASSERT_OK_AND_ASSIGN(
      const v1::Plan tight,
      MakePlan(Llama3_8B(), std::vector{Gpu("card", 6.0 * kGiB)}, Auto(), "llama"));
  EXPECT_EQ(tight.weight_type(), v1::WEIGHT_TYPE_INT4);
  EXPECT_LT(tight.max_context_tokens(), 4096);
}

TEST(WeightTypesTest, WorkersMakeAnyFormOfWhatIsNotQuantizedYet) {
  EXPECT_OK(CheckMakeable(Llama3_8B(), v1::WEIGHT_TYPE_BF16));
  EXPECT_OK(CheckMakeable(Llama3_8B(), v1::WEIGHT_TYPE_INT4));
  ModelConfig quantized = Llama3_8B();
  quantized.quantization = {.method = "gptq", .bits = 8};
  EXPECT_OK(CheckMakeable(quantized, v1::WEIGHT_TYPE_UNSPECIFIED));
  EXPECT_THAT(CheckMakeable(quantized, v1::WEIGHT_TYPE_INT4),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("the checkpoint's are gptq")));
}

TEST(WeightTypesTest, WhatFitsInNoFormIsRefusedWithWhatEachWouldNeed) {
  const absl::Status status =
      MakePlan(Llama3_8B(), std::vector{Gpu("card", 3 * kGiB)}, Auto(), "llama").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted,
                               AllOf(HasSubstr("llama does not fit in any form of its weights: "),
                                     HasSubstr("bf16 needs 15.0 GiB, short by"),
                                     HasSubstr("int8 needs 8."), HasSubstr("int4 needs 5."))));
  const auto refusal = RefusalOf(status);
  ASSERT_TRUE(refusal.has_value());
  ASSERT_EQ(refusal->weight_proposals_size(), 3);
  EXPECT_EQ(refusal->weight_proposals(2).weight_form(), "int4");
}

TEST(WeightTypesTest, ACheckpointsOwnFormIsNamed) {
  ModelConfig model = Llama3_8B();
  EXPECT_EQ(WeightForm(model), "bf16");
  EXPECT_EQ(WeightForm(WithWeightType(model, v1::WEIGHT_TYPE_INT4)), "int4");
  model.quantization = Quantization{.method = "gptq", .bits = 4};
  EXPECT_EQ(WeightForm(model), "gptq of 4 bits");
}

}  // namespace
}  // namespace layercake
