#include "common/model/config.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A config with `extra` fields ("\"name\": value, ...") that win over the base's.
std::string Config(const std::string& extra = "", const std::string& type = "llama") {
  return absl::StrCat(R"({"model_type": ")", type, R"(", "vocab_size": 100, "hidden_size": 64,
      "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
      "max_position_embeddings": 512)",
                      extra.empty() ? "" : ", ", extra, "}");
}

TEST(ParseModelConfigTest, DefaultsAreThoseOfTheFamily) {
  LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(Config()));
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.vocab_size, 100);
  EXPECT_EQ(config.intermediate_dim, 96);
  EXPECT_EQ(config.num_layers, 3);
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.max_context_tokens, 512);
  EXPECT_DOUBLE_EQ(config.rms_norm_epsilon, 1e-6);
  EXPECT_DOUBLE_EQ(config.rope_theta, 10000);
  EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::kNone);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_FALSE(config.qkv_bias);
  EXPECT_FALSE(config.output_bias);
  EXPECT_FALSE(config.mlp_bias);
  EXPECT_EQ(config.dtype, DType::kF32);
  EXPECT_THAT(config.eos_ids, IsEmpty());
  EXPECT_EQ(config.bos_id, std::nullopt);
}

TEST(ParseModelConfigTest, OldFormIsRead) {
  LC_ASSERT_OK_AND_ASSIGN(
      const ModelConfig config,
      ParseModelConfig(Config(R"("rope_theta": 500000.0, "torch_dtype": "bfloat16",
          "num_key_value_heads": 2, "head_dim": 24, "rms_norm_eps": 1e-05,
          "tie_word_embeddings": true, "eos_token_id": [5, 7], "bos_token_id": 1,
          "rope_scaling": {"type": "linear", "factor": 2.0})")));
  EXPECT_DOUBLE_EQ(config.rope_theta, 500000);
  EXPECT_EQ(config.dtype, DType::kBF16);
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 24);
  EXPECT_DOUBLE_EQ(config.rms_norm_epsilon, 1e-5);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_THAT(config.eos_ids, ElementsAre(5, 7));
  EXPECT_EQ(config.bos_id, 1);
  EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::kLinear);
  EXPECT_DOUBLE_EQ(config.rope_scaling.factor, 2);
}

TEST(ParseModelConfigTest, NewFormIsRead) {
  LC_ASSERT_OK_AND_ASSIGN(
      const ModelConfig config,
      ParseModelConfig(Config(R"("dtype": "float16", "eos_token_id": 9, "bos_token_id": null,
          "rope_parameters": {"rope_theta": 250000.0, "rope_type": "llama3", "factor": 8.0,
          "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 128})")));
  EXPECT_DOUBLE_EQ(config.rope_theta, 250000);
  EXPECT_EQ(config.dtype, DType::kF16);
  EXPECT_THAT(config.eos_ids, ElementsAre(9));
  EXPECT_EQ(config.bos_id, std::nullopt);
  EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::kLlama3);
  EXPECT_DOUBLE_EQ(config.rope_scaling.factor, 8);
  EXPECT_DOUBLE_EQ(config.rope_scaling.low_freq_factor, 1);
  EXPECT_DOUBLE_EQ(config.rope_scaling.high_freq_factor, 4);
  EXPECT_EQ(config.rope_scaling.original_max_position_embeddings, 128);
}

TEST(ParseModelConfigTest, YarnTakesItsDefaultsAndItsMscale) {
  LC_ASSERT_OK_AND_ASSIGN(
      ModelConfig config,
      ParseModelConfig(Config(R"("rope_scaling": {"rope_type": "yarn", "factor": 4})")));
  EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::kYarn);
  EXPECT_EQ(config.rope_scaling.original_max_position_embeddings, 512);
  EXPECT_DOUBLE_EQ(config.rope_scaling.beta_fast, 32);
  EXPECT_EQ(config.rope_scaling.attention_factor, std::nullopt);
  LC_ASSERT_OK_AND_ASSIGN(config, ParseModelConfig(Config(R"("rope_scaling": {"rope_type": "yarn",
      "factor": 4, "mscale": 2, "mscale_all_dim": 1})")));
  EXPECT_NEAR(config.rope_scaling.attention_factor.value_or(0), 1.2772588722 / 1.1386294361, 1e-9);
}

TEST(ParseModelConfigTest, BiasesFollowFamilyAndFlags) {
  LC_ASSERT_OK_AND_ASSIGN(ModelConfig config, ParseModelConfig(Config("", "qwen2")));
  EXPECT_EQ(config.architecture, "qwen2");
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.output_bias);
  LC_ASSERT_OK_AND_ASSIGN(config,
                          ParseModelConfig(Config(R"("attention_bias": true, "mlp_bias": true)")));
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_TRUE(config.output_bias);
  EXPECT_TRUE(config.mlp_bias);
}

TEST(ParseModelConfigTest, ArchitectureMayStandInForModelType) {
  const std::string config = absl::StrReplaceAll(
      Config(), {{R"("model_type": "llama")", R"("architectures": ["Qwen2ForCausalLM"])"}});
  LC_ASSERT_OK_AND_ASSIGN(const ModelConfig parsed, ParseModelConfig(config));
  EXPECT_EQ(parsed.architecture, "qwen2");
}

TEST(ParseModelConfigTest, ASlidingWindowThatNeverBindsIsNoHindrance) {
  for (const char* extra :
       {R"("use_sliding_window": false, "sliding_window": 16)",
        R"("use_sliding_window": true, "sliding_window": 512, "max_window_layers": 0)",
        R"("use_sliding_window": true, "sliding_window": 16, "max_window_layers": 3)",
        R"("use_sliding_window": true, "sliding_window": null, "max_window_layers": 0)",
        R"("use_sliding_window": true, "sliding_window": 16, "max_window_layers": 0,
           "layer_types": ["full_attention", "full_attention", "full_attention"])"}) {
    LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(Config(extra, "qwen2")));
    EXPECT_OK(CheckRunnable(config)) << extra;
  }
}

TEST(ParseModelConfigTest, AWindowOfMistralIsOneWhereItIsGiven) {
  for (const char* extra : {"", R"("sliding_window": null)", R"("sliding_window": 4096)"}) {
    LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(Config(extra, "mistral")));
    EXPECT_OK(CheckRunnable(config)) << extra;
  }
}

TEST(ParseModelConfigTest, WhatIsNotKnownIsNamed) {
  const struct {
    std::string config;
    const char* words;
  } kCases[] = {
      {Config("", "mamba"), "\"mamba\""},
      {Config(R"("architectures": ["LlamaModel"])"), "LlamaModel"},
      {Config(R"("dtype": "float8_e4m3fn")"), "float8_e4m3fn"},
      {Config(R"("quantization_config": {"quant_method": "bitsandbytes"})"), "bitsandbytes"},
      {Config(R"("quantization_config": {"quant_method": "fp8"})"), "weight_block_size"},
      {Config(R"("quantization_config": {"quant_method": "compressed-tensors",
                 "format": "float-quantized"})"),
       "float-quantized"},
      {Config(R"("quantization_config": {"quant_method": "awq",
                 "modules_to_not_convert": ["re:(?i)gate"]})"),
       "re:(?i)gate"},
  };
  for (const auto& unknown : kCases) {
    EXPECT_THAT(ParseModelConfig(unknown.config),
                StatusIs(absl::StatusCode::kUnimplemented, HasSubstr(unknown.words)));
  }
  EXPECT_THAT(ParseModelConfig(Config("", "mamba")),
              StatusIs(absl::StatusCode::kUnimplemented,
                       AllOf(HasSubstr("LlamaForCausalLM"), HasSubstr("Qwen2ForCausalLM"))));
}

TEST(CheckRunnableTest, WhatCanOnlyBePlannedIsNamed) {
  const struct {
    std::string config;
    const char* words;
  } kCases[] = {
      {Config("", "glm4"),
       "workers compute llama, qwen2, mistral, qwen3, mixtral, qwen3_moe, not glm4 yet"},
      {Config(R"("hidden_act": "gelu")"), "\"gelu\""},
      {Config(R"("quantization_config": {"quant_method": "gptq", "bits": 3})"), "gptq of 3 bits"},
      {Config(R"("quantization_config": {"quant_method": "gptq", "group_size": 96})"),
       "in groups of 96 inputs"},
      {Config(R"("quantization_config": {"quant_method": "gptq",
                 "checkpoint_format": "marlin"})"),
       "gptq as marlin"},
      {Config(R"("quantization_config": {"quant_method": "awq", "version": "GEMV"})"),
       "awq as gemv"},
      {Config(R"("quantization_config": {"quant_method": "fp8",
                 "weight_block_size": [128, 128]})"),
       "fp8 is computed by no worker yet"},
      {Config(R"("quantization_config": {"quant_method": "gptq", "desc_act": true},
                 "num_local_experts": 4, "num_experts_per_tok": 2)",
              "mixtral"),
       "experts in the order of activations (desc_act)"},
      {Config(R"("rope_scaling": {"type": "longrope", "factor": 2})"), "\"longrope\""},
      {Config(R"("rope_parameters": {"full_attention": {"rope_theta": 1e4}})"), "full_attention"},
      {Config(R"("rope_scaling": {"type": "yarn", "factor": 2, "truncate": false})"), "truncate"},
      {Config(R"("partial_rotary_factor": 0.5)"), "partial_rotary_factor 0.5"},
      {Config(R"("use_sliding_window": true, "sliding_window": 16, "max_window_layers": 1)",
              "qwen2"),
       "2 of 3 layers use a window of 16"},
      {Config(R"("sliding_window": 16)", "mistral"), "3 of 3 layers use a window of 16"},
  };
  for (const auto& planned : kCases) {
    LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(planned.config));
    EXPECT_THAT(CheckRunnable(config),
                StatusIs(absl::StatusCode::kUnimplemented, HasSubstr(planned.words)));
  }
  LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(Config()));
  EXPECT_OK(CheckRunnable(config));
}

TEST(ParseModelConfigTest, BrokenFilesAreDataLossThatNamesTheField) {
  const struct {
    std::string config;
    const char* words;
  } kCases[] = {
      {"", "not valid JSON"},
      {"{\"model_type\": \"llama\"", "not valid JSON"},
      {"[1]", "not a JSON object"},
      {std::string(100, '[') + std::string(100, ']'), "nested deeper than 64"},
      {absl::StrReplaceAll(Config(), {{"\"vocab_size\"", "\"vocab\""}}), "vocab_size is missing"},
      {Config(R"("hidden_size": "64")"), "hidden_size must be a number, got a string"},
      {Config(R"("hidden_size": -1)"), "hidden_size must be from 1"},
      {Config(R"("num_hidden_layers": 1e300)"), "num_hidden_layers must be from 1"},
      {Config(R"("num_hidden_layers": 2.5)"), "num_hidden_layers must be a whole number"},
      {Config(R"("num_key_value_heads": 3)"), "(3) must divide num_attention_heads (4)"},
      {Config(R"("num_attention_heads": 5)"), "no multiple of num_attention_heads (5)"},
      {Config(R"("head_dim": 15)"), "head_dim must be even, got 15"},
      {Config(R"("num_attention_heads": 4096, "head_dim": 4096)"), "not believable"},
      {Config(R"("eos_token_id": "</s>")"), "eos_token_id must be a token id"},
      {Config(R"("eos_token_id": [1, -2])"), "eos_token_id must be a token id"},
      {Config(R"("tie_word_embeddings": 1)"), "tie_word_embeddings must be true or false"},
      {Config(R"("rope_scaling": {"type": "linear"})"), "factor is missing"},
      {Config(R"("rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4,
                 "high_freq_factor": 1})"),
       "high_freq_factor must be greater"},
      {Config(R"("rope_scaling": "linear")"), "must be an object"},
      {Config(R"("model_type": 7)"), "model_type must be a string"},
      {Config(R"("quantization_config": 4)"), "quantization_config must be an object"},
      {Config(R"("quantization_config": {"quant_method": "gptq", "bits": 5})"), "must be 2, 3, 4"},
      {Config(R"("quantization_config": {"quant_method": "gptq", "group_size": 0})"),
       "group_size must be -1 or at least 1"},
      {Config(R"("quantization_config": {"quant_method": "fp8", "weight_block_size": [128]})"),
       "weight_block_size must be two sizes"},
      {Config(R"("num_local_experts": 4, "num_experts_per_tok": 5)", "mixtral"),
       "num_experts_per_tok must be from 1 to 4"},
      {Config(R"("num_local_experts": 4)", "mixtral"), "num_experts_per_tok is missing"},
      {Config(R"("num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
                 "mlp_only_layers": [3])",
              "qwen3_moe"),
       "mlp_only_layers must list layers"},
      {Config(R"("n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8)",
              "deepseek_v3"),
       "kv_lora_rank is missing"},
      {Config(R"("num_local_experts": 4096, "num_experts_per_tok": 2, "num_hidden_layers": 4096,
                 "intermediate_size": 1048576, "hidden_size": 1048576)",
              "mixtral"),
       "not believable"},
  };
  for (const auto& broken : kCases) {
    EXPECT_THAT(ParseModelConfig(broken.config),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(broken.words)));
  }
}

TEST(ParseGenerationConfigTest, SetsDefaultsAndOverridesIds) {
  ModelConfig config;
  config.eos_ids = {1};
  LC_ASSERT_OK_AND_ASSIGN(
      const GenerationDefaults defaults,
      ParseGenerationConfig(R"({"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95,
          "min_p": 0.05, "repetition_penalty": 1.1, "eos_token_id": [3, 4], "bos_token_id": 2})",
                            config));
  EXPECT_FLOAT_EQ(defaults.temperature.value_or(-1), 0.6F);
  EXPECT_EQ(defaults.top_k, 20);
  EXPECT_FLOAT_EQ(defaults.top_p.value_or(-1), 0.95F);
  EXPECT_FLOAT_EQ(defaults.min_p.value_or(-1), 0.05F);
  EXPECT_FLOAT_EQ(defaults.repetition_penalty.value_or(-1), 1.1F);
  EXPECT_THAT(config.eos_ids, ElementsAre(3, 4));
  EXPECT_EQ(config.bos_id, 2);
}

TEST(ParseGenerationConfigTest, WithoutSamplingItIsGreedyAndIdsStay) {
  ModelConfig config;
  config.eos_ids = {1};
  LC_ASSERT_OK_AND_ASSIGN(
      GenerationDefaults defaults,
      ParseGenerationConfig(R"({"do_sample": false, "temperature": 0.6, "top_k": 20})", config));
  EXPECT_EQ(defaults.temperature, 0);
  EXPECT_EQ(defaults.top_k, std::nullopt);
  EXPECT_THAT(config.eos_ids, ElementsAre(1));
  LC_ASSERT_OK_AND_ASSIGN(defaults, ParseGenerationConfig("{}", config));
  EXPECT_EQ(defaults.temperature, std::nullopt);
}

TEST(ParseGenerationConfigTest, BadValuesAreDataLoss) {
  ModelConfig config;
  EXPECT_THAT(ParseGenerationConfig(R"({"temperature": -1})", config),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("generation_config.json: temperature must be from 0")));
  EXPECT_THAT(ParseGenerationConfig("nonsense", config),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("generation_config.json")));
}

}  // namespace
}  // namespace layercake
