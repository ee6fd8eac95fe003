#include "common/model/checkpoint.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/model/model_size.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kConfig[] = R"({"model_type": "llama", "vocab_size": 7, "hidden_size": 4,
    "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 32, "torch_dtype": "float32"})";

TestTensors Tensors(const std::string& dtype = "F32") {
  const std::string layer = "model.layers.0.";
  return {{"model.embed_tokens.weight", {dtype, {7, 4}}},
          {layer + "input_layernorm.weight", {dtype, {4}}},
          {layer + "self_attn.q_proj.weight", {dtype, {4, 4}}},
          {layer + "self_attn.k_proj.weight", {dtype, {2, 4}}},
          {layer + "self_attn.v_proj.weight", {dtype, {2, 4}}},
          {layer + "self_attn.o_proj.weight", {dtype, {4, 4}}},
          {layer + "post_attention_layernorm.weight", {dtype, {4}}},
          {layer + "mlp.gate_proj.weight", {dtype, {6, 4}}},
          {layer + "mlp.up_proj.weight", {dtype, {6, 4}}},
          {layer + "mlp.down_proj.weight", {dtype, {4, 6}}},
          {"model.norm.weight", {dtype, {4}}},
          {"lm_head.weight", {dtype, {7, 4}}}};
}

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() { directory_.Write("config.json", kConfig); }

  absl::StatusOr<std::unique_ptr<Checkpoint>> OpenWith(const TestTensors& tensors) {
    directory_.Write("model.safetensors", SafetensorsFile(tensors));
    return Checkpoint::Open(directory_.path());
  }
  auto Open() { return Checkpoint::Open(directory_.path()); }

  TemporaryDirectory directory_;
};

TEST_F(CheckpointTest, AWholeCheckpointIsValid) {
  LC_ASSERT_OK_AND_ASSIGN(const auto checkpoint, OpenWith(Tensors("BF16")));
  EXPECT_OK(checkpoint->Validate());
  EXPECT_EQ(checkpoint->config().dtype, DType::kBF16) << "tensors decide, not the declaration";
  EXPECT_EQ(checkpoint->num_parameters(), 28 + 4 + 16 + 8 + 8 + 16 + 4 + 24 * 3 + 4 + 28);
  LC_ASSERT_OK_AND_ASSIGN(const TensorEntry tensor,
                          checkpoint->Tensor("model.embed_tokens.weight", {7, 4}));
  EXPECT_EQ(tensor.data.size(), 7u * 4 * 2);
  checkpoint->DropPages(tensor.data);
  EXPECT_EQ(tensor.data[0], '\0') << "dropped pages are read again";
}

TEST_F(CheckpointTest, MixedMatricesNeedTheDTypeThatHoldsThemAll) {
  TestTensors tensors = Tensors("BF16");
  tensors["model.norm.weight"].dtype = "F32";
  LC_ASSERT_OK_AND_ASSIGN(auto checkpoint, OpenWith(tensors));
  EXPECT_EQ(checkpoint->config().dtype, DType::kBF16) << "vectors do not count";
  tensors["lm_head.weight"].dtype = "F16";
  LC_ASSERT_OK_AND_ASSIGN(checkpoint, OpenWith(tensors));
  EXPECT_EQ(checkpoint->config().dtype, DType::kF32);
}

TEST_F(CheckpointTest, GenerationConfigIsReadWhenThere) {
  directory_.Write("generation_config.json", R"({"temperature": 0.5, "eos_token_id": 3})");
  LC_ASSERT_OK_AND_ASSIGN(const auto checkpoint, OpenWith(Tensors()));
  EXPECT_FLOAT_EQ(checkpoint->generation_defaults().temperature.value_or(0), 0.5F);
  EXPECT_THAT(checkpoint->config().eos_ids, ::testing::ElementsAre(3));
  directory_.Write("generation_config.json", "{");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("generation_config.json")));
}

TEST_F(CheckpointTest, FingerprintFollowsConfigHeadersAndWeights) {
  LC_ASSERT_OK_AND_ASSIGN(const auto first, OpenWith(Tensors()));
  TemporaryDirectory copy;
  copy.Write("config.json", kConfig);
  copy.Write("model.safetensors", SafetensorsFile(Tensors()));
  LC_ASSERT_OK_AND_ASSIGN(const auto second, Checkpoint::Open(copy.path()));
  EXPECT_EQ(first->fingerprint(), second->fingerprint());
  EXPECT_NE(first->identity(), second->identity());
  std::string finetuned = SafetensorsFile(Tensors());
  std::fill(finetuned.end() - 700, finetuned.end(), '\1');
  copy.Remove("model.safetensors");
  copy.Write("model.safetensors", finetuned);
  LC_ASSERT_OK_AND_ASSIGN(const auto other_weights, Checkpoint::Open(copy.path()));
  EXPECT_NE(first->fingerprint(), other_weights->fingerprint());
  EXPECT_NE(second->identity(), other_weights->identity());
  LC_ASSERT_OK_AND_ASSIGN(const auto other_dtype, OpenWith(Tensors("F16")));
  EXPECT_NE(first->fingerprint(), other_dtype->fingerprint());
  copy.Write("config.json", std::string(kConfig) + " ");
  LC_ASSERT_OK_AND_ASSIGN(const auto other_config, Checkpoint::Open(copy.path()));
  EXPECT_NE(first->fingerprint(), other_config->fingerprint());
}

TEST_F(CheckpointTest, WhatIsNotThereIsNamed) {
  EXPECT_THAT(Checkpoint::Open("/no/such/dir"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/dir")));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("has no weights")));
  directory_.Remove("config.json");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("config.json")));
}

TEST_F(CheckpointTest, OtherFormatsAreNamedWithAWayOut) {
  directory_.Write("pytorch_model.bin", "x");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kUnimplemented,
                               AllOf(HasSubstr("pytorch_model.bin"), HasSubstr("convert"))));
}

TEST_F(CheckpointTest, ATensorMissingOrOfAnotherShapeOrDTypeIsNamed) {
  TestTensors tensors = Tensors();
  tensors.erase("model.layers.0.mlp.up_proj.weight");
  LC_ASSERT_OK_AND_ASSIGN(auto checkpoint, OpenWith(tensors));
  EXPECT_THAT(checkpoint->Validate(),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("mlp.up_proj.weight is missing"), HasSubstr("[6, 4]"))));

  tensors = Tensors();
  tensors["model.norm.weight"].shape = {5};
  LC_ASSERT_OK_AND_ASSIGN(checkpoint, OpenWith(tensors));
  EXPECT_THAT(checkpoint->Validate(),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("model.norm.weight has shape [5]"), HasSubstr("[4]"))));

  tensors = Tensors();
  tensors["lm_head.weight"].dtype = "I64";
  LC_ASSERT_OK_AND_ASSIGN(checkpoint, OpenWith(tensors));
  EXPECT_THAT(checkpoint->Validate(),
              StatusIs(absl::StatusCode::kUnimplemented,
                       AllOf(HasSubstr("lm_head.weight has dtype I64"), HasSubstr("BF16"))));
}

TEST_F(CheckpointTest, BuffersThatAreNoWeightsDoNotHinder) {
  TestTensors tensors = Tensors();
  tensors["model.layers.0.self_attn.rotary_emb.steps"] = {"I64", {3}};
  LC_ASSERT_OK_AND_ASSIGN(const auto checkpoint, OpenWith(tensors));
  EXPECT_OK(checkpoint->Validate());
}

TEST_F(CheckpointTest, ABrokenFileIsNamed) {
  directory_.Write("model.safetensors", "");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("safetensors is empty")));
  directory_.Write("model.safetensors", SafetensorsFile(Tensors()).substr(0, 1200));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss,
                               AllOf(HasSubstr("model.safetensors"), HasSubstr("truncated"))));
}

class ShardedCheckpointTest : public CheckpointTest {
 protected:
  ShardedCheckpointTest() {
    std::vector<std::string> map;
    TestTensors shards[2];
    for (const auto& [name, tensor] : Tensors()) {
      const int shard = name < "model.layers" ? 0 : 1;
      shards[shard][name] = tensor;
      map.push_back(absl::StrCat("\"", name, "\": \"", kShards[shard], "\""));
    }
    for (int i = 0; i < 2; ++i) directory_.Write(kShards[i], SafetensorsFile(shards[i]));
    WriteIndex(absl::StrJoin(map, ", "));
  }
  void WriteIndex(const std::string& map) {
    directory_.Write("model.safetensors.index.json",
                     absl::StrCat(R"({"metadata": {}, "weight_map": {)", map, "}}"));
  }
  static constexpr const char* kShards[] = {"model-00001-of-00002.safetensors",
                                            "model-00002-of-00002.safetensors"};
};

TEST_F(ShardedCheckpointTest, ShardsMakeTheSameCheckpointAsOneFile) {
  LC_ASSERT_OK_AND_ASSIGN(const auto sharded, Open());
  EXPECT_OK(sharded->Validate());
  LC_ASSERT_OK_AND_ASSIGN(const auto single, OpenWith(Tensors()));
  EXPECT_EQ(sharded->fingerprint(), single->fingerprint());
  EXPECT_EQ(sharded->num_parameters(), single->num_parameters());
}

TEST_F(ShardedCheckpointTest, MissingShardsAreNamed) {
  directory_.Remove(kShards[1]);
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kNotFound,
                               AllOf(HasSubstr("1 of 2 shards are missing"),
                                     HasSubstr("model-00002-of-00002.safetensors"))));
}

TEST_F(ShardedCheckpointTest, AnIndexThatLiesIsDataLoss) {
  WriteIndex(absl::StrCat("\"lm_head.weight\": \"", kShards[1], "\""));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss,
                               AllOf(HasSubstr("says that lm_head.weight"), HasSubstr("is not"))));
  WriteIndex(R"("lm_head.weight": "../../etc/passwd")");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no file name")));
  WriteIndex("");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("weight_map")));
  directory_.Write("model.safetensors.index.json", "{");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not valid JSON")));
}

// Every model under tests/golden/models is one that transformers wrote.
TEST(GoldenModelsTest, EveryOneOpensAndIsWhole) {
  const std::string root = LAYERCAKE_SOURCE_DIR "/tests/golden/models";
  int count = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root, error)) {
    if (!std::filesystem::exists(entry.path() / "config.json")) continue;
    LC_ASSERT_OK_AND_ASSIGN(const auto checkpoint, Checkpoint::Open(entry.path()));
    EXPECT_OK(checkpoint->Validate()) << entry.path();
    ++count;
  }
  EXPECT_GT(count, 0) << "no models in " << root;
}

TEST_F(CheckpointTest, WhatNoWorkerRunsOpensButIsNotValid) {
  directory_.Write("config.json", absl::StrReplaceAll(kConfig, {{"llama", "glm4"}}));
  LC_ASSERT_OK_AND_ASSIGN(const auto checkpoint, OpenWith(Tensors()));
  EXPECT_THAT(checkpoint->Validate(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("not glm4 yet")));
}

TEST_F(CheckpointTest, TensorsOfAnyDTypeAreCountedWhereTheyBelong) {
  directory_.Write("config.json", absl::StrReplaceAll(kConfig, {{"llama", "glm4"}}));
  TestTensors tensors = Tensors("F16");
  tensors["model.layers.0.mlp.gate_proj.qweight"] = {"I64", {3}};
  tensors["model.layers.1.mtp.weight"] = {"F16", {1000}};
  LC_ASSERT_OK_AND_ASSIGN(const auto checkpoint, OpenWith(tensors));
  ASSERT_TRUE(checkpoint->config().tensor_bytes.has_value());
  const TensorBytes& bytes = *checkpoint->config().tensor_bytes;
  EXPECT_EQ(bytes.embedding, 28 * 2);
  EXPECT_EQ(bytes.head, (28 + 4) * 2);
  ASSERT_EQ(bytes.layers.size(), 1u) << "the second predicts further tokens";
  EXPECT_EQ(bytes.layers[0], (4 + 16 + 8 + 8 + 16 + 4 + 24 * 3) * 2 + 3 * 8);
}

TEST_F(CheckpointTest, PlanningNeedsNoWeightsButReadsThem) {
  LC_ASSERT_OK_AND_ASSIGN(SizedModel model, SizeModel(directory_.path() + "/config.json"));
  EXPECT_EQ(model.config.dtype, DType::kF32);
  LC_ASSERT_OK_AND_ASSIGN(model, SizeModel(directory_.path()));
  EXPECT_EQ(model.config.dtype, DType::kF32);
  EXPECT_EQ(model.name, std::filesystem::path(directory_.path()).filename());
  directory_.Write("model.safetensors", SafetensorsFile(Tensors("BF16")));
  LC_ASSERT_OK_AND_ASSIGN(model, SizeModel(directory_.path()));
  EXPECT_EQ(model.config.dtype, DType::kBF16);
  EXPECT_EQ(model.note, "");
  directory_.Write("model.safetensors", "broken");
  EXPECT_THAT(SizeModel(directory_.path()), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(SizeModel(directory_.path() + "/none"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("--model names")));
}

TEST_F(CheckpointTest, PlanningSaysWhereFilesAreMissingOrContradictTheConfig) {
  LC_ASSERT_OK_AND_ASSIGN(SizedModel model, SizeModel(directory_.path() + "/config.json"));
  EXPECT_EQ(model.note, "");
  LC_ASSERT_OK_AND_ASSIGN(model, SizeModel(directory_.path()));
  EXPECT_THAT(model.note, HasSubstr("Sized from config.json alone: "));
  TestTensors tensors = Tensors("F32");
  tensors["model.layers.1.input_layernorm.weight"] = {"F32", {4}};
  directory_.Write("model.safetensors", SafetensorsFile(tensors));
  LC_ASSERT_OK_AND_ASSIGN(model, SizeModel(directory_.path()));
  EXPECT_THAT(model.note, HasSubstr("there are more layers than config.json's 1"));
  tensors = Tensors("F32");
  tensors.erase("model.norm.weight");
  directory_.Write("model.safetensors", SafetensorsFile(tensors));
  LC_ASSERT_OK_AND_ASSIGN(model, SizeModel(directory_.path()));
  EXPECT_THAT(model.note, HasSubstr("tensor model.norm.weight is missing"));
}

}  // namespace
}  // namespace layercake
