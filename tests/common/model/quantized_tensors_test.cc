#include "common/model/quantized_tensors.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// One layer; matrices of 32 inputs but for down_proj's 64.
std::string Config(const std::string& quantization) {
  return absl::StrCat(R"({"model_type": "llama", "vocab_size": 7, "hidden_size": 32,
      "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
      "num_key_value_heads": 1, "max_position_embeddings": 32, "torch_dtype": "float16",
      "quantization_config": )",
                      quantization, "}");
}

constexpr char kGptq[] = R"({"quant_method": "gptq", "bits": 4, "group_size": 16, "sym": false,
                             "desc_act": true})";
constexpr char kAwq[] = R"({"quant_method": "awq", "bits": 4, "group_size": 32})";
constexpr char kPacked[] = R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
    "ignore": ["lm_head"], "config_groups": {"group_0": {"weights": {
        "num_bits": 8, "symmetric": false, "strategy": "channel", "group_size": null}}}})";

const std::vector<std::pair<std::string, std::pair<int64_t, int64_t>>>& Modules() {
  static const auto* const modules =
      new std::vector<std::pair<std::string, std::pair<int64_t, int64_t>>>{
          {"self_attn.q_proj", {32, 32}}, {"self_attn.k_proj", {8, 32}},
          {"self_attn.v_proj", {8, 32}},  {"self_attn.o_proj", {32, 32}},
          {"mlp.gate_proj", {64, 32}},    {"mlp.up_proj", {64, 32}},
          {"mlp.down_proj", {32, 64}}};
  return *modules;
}

TestTensors Unquantized() {
  const std::string layer = "model.layers.0.";
  return {{"model.embed_tokens.weight", {"F16", {7, 32}}},
          {layer + "input_layernorm.weight", {"F16", {32}}},
          {layer + "post_attention_layernorm.weight", {"F16", {32}}},
          {"model.norm.weight", {"F16", {32}}},
          {"lm_head.weight", {"F16", {7, 32}}}};
}

TestTensors Gptq() {
  TestTensors tensors = Unquantized();
  for (const auto& [module, shape] : Modules()) {
    const auto& [outputs, inputs] = shape;
    const std::string name = "model.layers.0." + module;
    tensors[name + ".qweight"] = {"I32", {inputs / 8, outputs}};
    tensors[name + ".qzeros"] = {"I32", {inputs / 16, outputs / 8}};
    tensors[name + ".scales"] = {"F16", {inputs / 16, outputs}};
    tensors[name + ".g_idx"] = {"I32", {inputs}};
  }
  return tensors;
}

TestTensors Awq() {
  TestTensors tensors = Unquantized();
  for (const auto& [module, shape] : Modules()) {
    const auto& [outputs, inputs] = shape;
    const std::string name = "model.layers.0." + module;
    tensors[name + ".qweight"] = {"I32", {inputs, outputs / 8}};
    tensors[name + ".qzeros"] = {"I32", {inputs / 32, outputs / 8}};
    tensors[name + ".scales"] = {"F16", {inputs / 32, outputs}};
  }
  return tensors;
}

TestTensors Packed() {
  TestTensors tensors = Unquantized();
  for (const auto& [module, shape] : Modules()) {
    const auto& [outputs, inputs] = shape;
    const std::string name = "model.layers.0." + module;
    tensors[name + ".weight_packed"] = {"I32", {outputs, inputs / 4}};
    tensors[name + ".weight_zero_point"] = {"I32", {outputs / 4, 1}};
    tensors[name + ".weight_scale"] = {"BF16", {outputs, 1}};
    tensors[name + ".weight_shape"] = {"I64", {2}};
  }
  return tensors;
}

absl::Status Validate(const std::string& quantization, const TestTensors& tensors) {
  TemporaryDirectory directory;
  directory.Write("config.json", Config(quantization));
  directory.Write("model.safetensors", SafetensorsFile(tensors));
  auto checkpoint = Checkpoint::Open(directory.path());
  return checkpoint.ok() ? (*checkpoint)->Validate() : checkpoint.status();
}

TEST(QuantizedTensorsTest, EveryLayoutIsFound) {
  EXPECT_OK(Validate(kGptq, Gptq()));
  EXPECT_OK(Validate(kAwq, Awq()));
  EXPECT_OK(Validate(kPacked, Packed()));
}

TEST(QuantizedTensorsTest, ScalesDoNotDecideHowTheRestIsHeld) {
  TemporaryDirectory directory;
  directory.Write("config.json", Config(kPacked));
  directory.Write("model.safetensors", SafetensorsFile(Packed()));
  LC_ASSERT_OK_AND_ASSIGN(const auto checkpoint, Checkpoint::Open(directory.path()));
  EXPECT_EQ(checkpoint->config().dtype, DType::kF16) << "though scales are bf16";
  EXPECT_FALSE(checkpoint->config().tensor_bytes.has_value());
  EXPECT_EQ(checkpoint->num_parameters(),
            2 * 7 * 32 + 3 * 32 + 2 * 32 * 32 + 2 * 8 * 32 + 3 * 64 * 32);
}

TEST(QuantizedTensorsTest, WhatIsMissingOrOfAnotherShapeIsNamed) {
  for (const char* kind : {"qweight", "qzeros", "scales", "g_idx"}) {
    const std::string name = absl::StrCat("model.layers.0.mlp.up_proj.", kind);
    TestTensors tensors = Gptq();
    tensors.erase(name);
    EXPECT_THAT(Validate(kGptq, tensors), StatusIs(absl::StatusCode::kDataLoss,
                                                   AllOf(HasSubstr(name), HasSubstr("missing"))));
    tensors = Gptq();
    tensors[name].shape[0] += 1;
    EXPECT_THAT(Validate(kGptq, tensors),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr(name), HasSubstr("config"), HasSubstr("calls for"))));
  }
  TestTensors tensors = Gptq();
  tensors["model.layers.0.mlp.up_proj.qweight"].dtype = "I64";
  EXPECT_THAT(Validate(kGptq, tensors),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is I64 [4, 64]")));
  tensors = Gptq();
  tensors["model.layers.0.mlp.up_proj.qweight"].dtype = "F16";
  EXPECT_THAT(Validate(kGptq, tensors),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("has dtype f16")));
  tensors = Gptq();
  tensors["model.layers.0.mlp.up_proj.scales"].dtype = "F32";
  EXPECT_THAT(Validate(kGptq, tensors),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("scales of f16 and bf16")));
}

TEST(QuantizedTensorsTest, AnUnquantizedMatrixMustBeNamedAsOne) {
  TestTensors tensors = Awq();
  const std::string name = "model.layers.0.mlp.down_proj";
  for (const char* kind : {".qweight", ".qzeros", ".scales"}) tensors.erase(name + kind);
  tensors[name + ".weight"] = {"F16", {32, 64}};
  EXPECT_THAT(Validate(kAwq, tensors),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(name + ".qweight")));
  EXPECT_OK(Validate(R"({"quant_method": "awq", "bits": 4, "group_size": 32,
                         "modules_to_not_convert": ["down_proj"]})",
                     tensors));
}

}  // namespace
}  // namespace layercake
