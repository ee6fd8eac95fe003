#include "common/model/costs.h"

#include <gtest/gtest.h>

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
  EXPECT_EQ(LayerWeightBytes(config), matrices + norms);
  config.qkv_bias = true;
  EXPECT_EQ(LayerWeightBytes(config), matrices + norms + 192 * 4);
  config.output_bias = true;
  EXPECT_EQ(LayerWeightBytes(config), matrices + norms + (192 + 128) * 4);
  config.mlp_bias = true;
  EXPECT_EQ(LayerWeightBytes(config), matrices + norms + (192 + 128 + 448 + 128) * 4);
}

TEST(CostsTest, TiedTableCostsBothEnds) {
  ModelConfig config = SmallConfig();
  config.tied_embeddings = true;
  EXPECT_EQ(EmbeddingWeightBytes(config), (1001 * 96 * 2 + 63) / 64 * 64);
  EXPECT_EQ(HeadWeightBytes(config), 96 * 4 + 1024 * 96 * 2);
}

TEST(CostsTest, StageIsTheSumOfItsParts) {
  const ModelConfig config = SmallConfig();
  const int64_t layer = LayerWeightBytes(config);
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
  EXPECT_EQ(without, 8 * 4 * (96 + 96 + 160 + 96 + 400 + 32));
  EXPECT_EQ(WorkspaceBytes(config, {0, 1, true, true}, limits),
            without + 4 * 4 * 96 + (4 * 4 * 1001 + 63) / 64 * 64);
}

TEST(CostsTest, FlopsCountEveryWeightTwice) {
  const ModelConfig config = SmallConfig();
  EXPECT_EQ(LayerFlops(config), 2.0 * (96 * 160 + 96 * 96 + 3 * 96 * 200));
  EXPECT_EQ(HeadFlops(config), 2.0 * 96 * 1001);
}

}  // namespace
}  // namespace layercake
