#include "common/model/costs.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace layercake {
namespace {

// 2 layers of 96 wide, 3 heads of 32 over 1 kv head, MLP of 200, 1,001 ids, bf16.
ModelConfig SmallConfig() {
  ModelConfig config;
  config.vocab_size = 1001;
  config.hidden_dim = 96;
  config.intermediate_dim = 200;
  config.num_layers = 2;
  config.num_heads = 3;
  config.num_kv_heads = 1;
  config.head_dim = 32;
  config.dtype = DType::kBF16;
  return config;
}

TEST(CostsTest, PackedMatrixPadsOutputsToWholePanels) {
  EXPECT_EQ(PackedMatrixBytes(64, 10, DType::kF32), 64 * 10 * 4);
  EXPECT_EQ(PackedMatrixBytes(65, 10, DType::kBF16), 128 * 10 * 2);
  EXPECT_EQ(PackedMatrixBytes(1, 1, DType::kF16), 128);
}

TEST(CostsTest, LayerIsItsMatricesNormsAndBiases) {
  ModelConfig config = SmallConfig();
  // q|k|v 160 -> 192 outputs, o 96 -> 128, gate|up 400 -> 448, down 96 -> 128.
  const int64_t matrices = 2 * (192 * 96 + 128 * 96 + 448 * 96 + 128 * 200);
  const int64_t norms = 2 * 96 * 4;
  EXPECT_EQ(LayerWeightBytes(config, 0), matrices + norms);
  config.qkv_bias = true;
  EXPECT_EQ(LayerWeightBytes(config, 0), matrices + norms + 192 * 4);
  config.output_bias = true;
  EXPECT_EQ(LayerWeightBytes(config, 0), matrices + norms + (192 + 128) * 4);
  config.mlp_bias = true;
  EXPECT_EQ(LayerWeightBytes(config, 0), matrices + norms + (192 + 128 + 448 + 128) * 4);
}

TEST(CostsTest, TiedTableCostsBothEnds) {
  ModelConfig config = SmallConfig();
  config.tied_embeddings = true;
  EXPECT_EQ(EmbeddingWeightBytes(config), (1001 * 96 * 2 + 63) / 64 * 64);
  EXPECT_EQ(HeadWeightBytes(config), 96 * 4 + 1024 * 96 * 2);
}

TEST(CostsTest, StageIsTheSumOfItsParts) {
  const ModelConfig config = SmallConfig();
  const int64_t layer = LayerWeightBytes(config, 0);
  EXPECT_EQ(StageWeightBytes(config, {0, 1, false, false}), layer);
  EXPECT_EQ(StageWeightBytes(config, {0, 2, true, true}),
            2 * layer + EmbeddingWeightBytes(config) + HeadWeightBytes(config));
  EXPECT_EQ(StageWeightBytes(config, {1, 0, false, true}), HeadWeightBytes(config));
}

TEST(CostsTest, BlockHoldsKeysAndValuesOfEveryKvHead) {
  ModelConfig config = SmallConfig();
  StageLimits limits;
  limits.block_size_tokens = 16;
  EXPECT_EQ(LayerBlockBytes(config, limits), 2 * 16 * 32 * 4);
  limits.kv_dtype = DType::kF16;
  config.num_kv_heads = 3;
  EXPECT_EQ(LayerBlockBytes(config, limits), 2 * 16 * 3 * 32 * 2);
}

TEST(CostsTest, LogitsAreCountedWhereTheHeadIs) {
  const ModelConfig config = SmallConfig();
  StageLimits limits;
  limits.max_step_tokens = 8;
  limits.max_batch_sequences = 4;
  const int64_t without = WorkspaceBytes(config, {0, 1, true, false}, limits);
  EXPECT_EQ(without, StepTableBytes(limits) + 8 * 4 * (96 + 96 + 160 + 96 + 400 + 32));
  EXPECT_EQ(WorkspaceBytes(config, {0, 1, true, true}, limits),
            without + 4 * 4 * 96 + (4 * 4 * 1001 + 63) / 64 * 64);
}

TEST(CostsTest, ActivationsOnTheirWayAreCountedAtBothEnds) {
  const ModelConfig config = SmallConfig();
  StageLimits limits;
  limits.max_step_tokens = 8;
  EXPECT_EQ(LinkBytes(config, {0, 2, true, true}, limits), 0);
  EXPECT_EQ(LinkBytes(config, {0, 1, true, false}, limits), 2 * 8 * 96 * 4);
  EXPECT_EQ(LinkBytes(config, {1, 1, false, true}, limits), 2 * 8 * 96 * 4);
  limits.activation_dtype = DType::kBF16;
  EXPECT_EQ(LinkBytes(config, {1, 0, false, false}, limits), 2 * 2 * 8 * 96 * 2);
}

TEST(CostsTest, ReservesAreATenthAtMostAndGraphsAQuarterOfAGpus) {
  constexpr int64_t kGiB = int64_t{1} << 30;
  EXPECT_EQ(ReserveBytes(/*gpu=*/true, 12 * kGiB), kGiB / 4);
  EXPECT_EQ(ReserveBytes(/*gpu=*/false, 12 * kGiB), kGiB / 16);
  EXPECT_EQ(ReserveBytes(/*gpu=*/true, 1000), 100);
  EXPECT_EQ(GraphBytes(12 * kGiB), kGiB / 16);
}

// The same, its second layer with 10 experts of 72, 3 per token, and shared ones of 144.
ModelConfig ExpertsConfig() {
  ModelConfig config = SmallConfig();
  config.experts = MixtureOfExperts{.num_experts = 10,
                                    .experts_per_token = 3,
                                    .expert_dim = 72,
                                    .shared_dim = 144,
                                    .routing_bias = true,
                                    .in_layer = {false, true}};
  return config;
}

TEST(CostsTest, ExpertsCostWhereTheyAre) {
  const ModelConfig config = ExpertsConfig();
  EXPECT_EQ(LayerWeightBytes(config, 0), LayerWeightBytes(SmallConfig(), 0));
  EXPECT_EQ(LayerExpertBytes(config, 0), 0);
  // gate|up 144 -> 192 outputs, down 96 -> 128.
  const int64_t experts = 10 * 2 * (192 * 96 + 128 * 72);
  EXPECT_EQ(LayerExpertBytes(config, 1), experts);
  // As above; router 10 -> 64 and its bias; shared gate|up 288 -> 320, down 96 -> 128.
  const int64_t attention = 2 * (192 * 96 + 128 * 96) + 2 * 96 * 4;
  const int64_t shared = 2 * (320 * 96 + 128 * 144);
  EXPECT_EQ(LayerWeightBytes(config, 1), experts + attention + shared + 2 * 64 * 96 + 64);
  EXPECT_EQ(LayerFlops(config, 1),
            2.0 * (96 * 160 + 96 * 96 + 96 * 10 + 3 * 96 * 144 + 3 * (3 * 96 * 72)));
}

TEST(CostsTest, MoreTokensReadMoreExpertsButNeverMoreThanAll) {
  const ModelConfig config = ExpertsConfig();
  EXPECT_DOUBLE_EQ(ExpertShareRead(config, 1), 0.3);
  EXPECT_DOUBLE_EQ(ExpertShareRead(config, 2), 1 - 0.7 * 0.7);
  EXPECT_NEAR(ExpertShareRead(config, 1000), 1, 1e-9);
  EXPECT_DOUBLE_EQ(ExpertShareRead(SmallConfig(), 1), 1);
}

TEST(CostsTest, QuantizedMatrixHoldsWeightsScalesAndWhatElseTheFormatHas) {
  Quantization groups{.bits = 4, .group_inputs = 128};
  EXPECT_EQ(QuantizedMatrixBytes(100, 256, groups), 128 * 256 / 2 + 2 * 128 * 2);
  groups.zeros = true;
  EXPECT_EQ(QuantizedMatrixBytes(100, 256, groups), 128 * 256 / 2 + 2 * 128 * 2 + 2 * 128 / 2);
  groups.act_order = true;
  EXPECT_EQ(QuantizedMatrixBytes(100, 256, groups),
            128 * 256 / 2 + 2 * 128 * 2 + 2 * 128 / 2 + 256 * 4);
  const Quantization whole_rows{.bits = 8, .group_inputs = 0};
  EXPECT_EQ(QuantizedMatrixBytes(64, 100, whole_rows), 64 * 100 + 64 * 2);
  const Quantization blocks{.bits = 8, .group_inputs = 128, .group_outputs = 128, .scale_bytes = 4};
  EXPECT_EQ(QuantizedMatrixBytes(256, 300, blocks), 256 * 300 + 64);
}

TEST(CostsTest, OnlyWhatIsQuantizedIsSmaller) {
  ModelConfig config = SmallConfig();
  const int64_t full = LayerWeightBytes(config, 0);
  config.quantization = Quantization{.bits = 8, .group_inputs = 32, .ignored = {"self_attn"}};
  // gate|up 448 x 96 and down 128 x 200, in groups of 32 inputs.
  const int64_t saved = 448 * 96 + 128 * 200 - 2 * (448 * 3 + 128 * 7);
  EXPECT_EQ(LayerWeightBytes(config, 0), full - saved);
  EXPECT_EQ(HeadWeightBytes(config), HeadWeightBytes(SmallConfig()));
  config.quantization->head = true;
  EXPECT_LT(HeadWeightBytes(config), HeadWeightBytes(SmallConfig()));
}

// In steps of 32 inputs, of two bytes each and eight beside them.
TEST(CostsTest, ProductsOfIntegersTakeTheirWidestInputsInPieces) {
  ModelConfig config = SmallConfig();
  StageLimits limits;
  limits.max_step_tokens = 16;
  EXPECT_EQ(ProductScratchBytes(config, limits), 0);
  const int64_t floats = WorkspaceBytes(config, {0, 1, false, false}, limits);
  config.quantization = Quantization{.bits = 4};
  EXPECT_EQ(ProductScratchBytes(config, limits), 16 * 7 * 72);  // down's 200
  EXPECT_EQ(WorkspaceBytes(config, {0, 1, false, false}, limits), floats + 16 * 7 * 72);
  limits.max_batch_sequences = 128;
  config.quantization->head = true;
  EXPECT_EQ(ProductScratchBytes(config, limits), 128 * 3 * 72);  // of 96
  config = ExpertsConfig();
  config.quantization = Quantization{.bits = 4};
  // 3 rows of a token by 96 inputs; the dense layer's 200 are of one.
  EXPECT_EQ(ProductScratchBytes(config, limits), 16 * 3 * 3 * 72);
}

TEST(CostsTest, LatentAttentionKeepsOneCompressedVectorPerToken) {
  ModelConfig config = SmallConfig();
  config.latent_attention = LatentAttention{
      .query_rank = 48, .kv_rank = 40, .nope_dim = 24, .rope_dim = 8, .value_dim = 16};
  StageLimits limits;
  limits.kv_dtype = DType::kF16;
  EXPECT_EQ(LayerBlockBytes(config, limits), 16 * (40 + 8) * 2);
  // q_a 48 -> 64, q_b 96 -> 128, kv_a 48 -> 64, kv_b 120 -> 128, o 96 -> 128; the MLP as above.
  const int64_t attention = 2 * (64 * 96 + 128 * 48 + 64 * 96 + 128 * 40 + 128 * 48);
  const int64_t vectors = 2 * 96 * 4 + 192 + 192;  // 48 and 40 numbers, in units of 64 bytes
  EXPECT_EQ(LayerWeightBytes(config, 0), attention + vectors + 2 * (448 * 96 + 128 * 200));
}

TEST(CostsTest, TensorsSeenInTheFilesDecide) {
  ModelConfig config = SmallConfig();
  config.tensor_bytes = TensorBytes{.embedding = 5, .layers = {100, 30}, .head = 7};
  EXPECT_EQ(StageWeightBytes(config, {0, 2, true, true}), 142);
  EXPECT_EQ(StageWeightBytes(config, {1, 1, false, true}), 37);
}

TEST(CostsTest, WorkspaceTakesTheLargestLayerOfTheStage) {
  const ModelConfig config = ExpertsConfig();
  StageLimits limits;
  limits.max_step_tokens = 16;
  const int64_t dense = WorkspaceBytes(config, {0, 1, false, false}, limits);
  const int64_t experts = WorkspaceBytes(config, {1, 1, false, false}, limits);
  EXPECT_EQ(experts - dense, 16 * 4 * (10 + 3 * (144 + 96) + 288 - 400) + RoutesBytes(config, 16));
  EXPECT_EQ(WorkspaceBytes(config, {0, 2, false, false}, limits), std::max(dense, experts));
}

TEST(CostsTest, RoutesAreRowsWithTheirExpertAndWeightAndGroupsOfThem) {
  ModelConfig config = ExpertsConfig();
  EXPECT_EQ(RoutesBytes(config, 16), 128 + 4 * 192);
  EXPECT_EQ(RoutesBytes(config, 1), 64 + 4 * 64);  // in units of 64 bytes
  EXPECT_EQ(RoutesBytes(SmallConfig(), 16), 0);
}

TEST(CostsTest, FlopsCountEveryWeightTwice) {
  const ModelConfig config = SmallConfig();
  EXPECT_EQ(LayerFlops(config, 0), 2.0 * (96 * 160 + 96 * 96 + 3 * 96 * 200));
  EXPECT_EQ(HeadFlops(config), 2.0 * 96 * 1001);
}

}  // namespace
}  // namespace layercake
