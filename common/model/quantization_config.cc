#include "common/model/quantization_config.h"

#include <bit>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/model/module_pattern.h"

namespace layercake {
namespace {

using nlohmann::json;

constexpr int64_t kMaxGroup = 1 << 20;
constexpr char kWhere[] = "config.json: quantization_config";

absl::Status Unknown(absl::string_view what) {
  return absl::UnimplementedError(absl::StrCat(
      kWhere, ": ", what,
      " is not known; known are gptq, awq, compressed-tensors (pack-quantized) and fp8 in blocks"));
}

// -1 is the whole row.
int64_t ReadGroup(FieldReader& fields) {
  const int64_t size = fields.Int("group_size", -1, kMaxGroup, 128);
  if (size == 0) fields.Fail("group_size", "must be -1 or at least 1, got 0");
  return size < 0 ? 0 : size;
}

int64_t ReadBits(FieldReader& fields, const char* name) {
  const int64_t bits = fields.Int(name, 2, 8, 4);
  if (bits > 4 && bits != 8) fields.Fail(name, absl::StrCat("must be 2, 3, 4 or 8, got ", bits));
  return bits;
}

absl::Status ReadIgnored(FieldReader& fields, const char* name, Quantization& quantization) {
  const json* list = fields.Find(name);
  if (list == nullptr) return absl::OkStatus();
  if (!list->is_array()) fields.Fail(name, "must be a list of module names");
  for (const json& item : *list) {
    if (!item.is_string()) {
      fields.Fail(name, "must be a list of module names");
      break;
    }
    quantization.ignored.push_back(item.get<std::string>());
    LC_RETURN_IF_ERROR(CheckModulePattern(quantization.ignored.back()));
  }
  return absl::OkStatus();
}

absl::Status ReadGptq(FieldReader& fields, Quantization& quantization) {
  quantization.bits = ReadBits(fields, "bits");
  quantization.group_inputs = ReadGroup(fields);
  quantization.zeros = !fields.Bool("sym", true);
  quantization.act_order = fields.Bool("desc_act", false);
  quantization.head = fields.Bool("lm_head", false);
  quantization.layout = fields.String("checkpoint_format", "gptq");
  return absl::OkStatus();
}

absl::Status ReadAwq(FieldReader& fields, Quantization& quantization) {
  quantization.bits = ReadBits(fields, fields.Has("bits") ? "bits" : "w_bit");
  quantization.group_inputs = ReadGroup(fields);
  quantization.zeros = fields.Bool("zero_point", true);
  quantization.layout = absl::AsciiStrToLower(fields.String("version", "gemm"));
  return ReadIgnored(fields, "modules_to_not_convert", quantization);
}

absl::Status ReadFp8(FieldReader& fields, Quantization& quantization) {
  const json* block = fields.Find("weight_block_size");
  if (block == nullptr) return Unknown("fp8 without weight_block_size");
  const auto is_size = [](const json& size) {
    return size.is_number_unsigned() && size.get<uint64_t>() >= 1 &&
           size.get<uint64_t>() <= static_cast<uint64_t>(kMaxGroup);
  };
  if (!block->is_array() || block->size() != 2 || !is_size((*block)[0]) || !is_size((*block)[1])) {
    fields.Fail("weight_block_size", "must be two sizes, outputs and inputs");
    return fields.status();
  }
  quantization.bits = 8;
  quantization.group_outputs = (*block)[0].get<int64_t>();
  quantization.group_inputs = (*block)[1].get<int64_t>();
  quantization.scale_bytes = 4;
  return ReadIgnored(fields, "modules_to_not_convert", quantization);
}

absl::Status ReadPacked(FieldReader& fields, Quantization& quantization) {
  const std::string format = fields.String("format", "");
  LC_RETURN_IF_ERROR(fields.status());
  if (format != "pack-quantized") {
    return Unknown(absl::StrCat("compressed-tensors format \"", format, "\""));
  }
  const json* groups = fields.Find("config_groups");
  if (groups == nullptr || !groups->is_object() || groups->size() != 1 ||
      !groups->begin()->is_object()) {
    return Unknown("compressed-tensors with other than one of config_groups");
  }
  FieldReader group(*groups->begin(), absl::StrCat(kWhere, ".config_groups"));
  const json* weights = group.Find("weights");
  if (weights == nullptr || !weights->is_object()) {
    group.Fail("weights", "is missing or no object");
    return group.status();
  }
  FieldReader reader(*weights, absl::StrCat(kWhere, ".config_groups weights"));
  quantization.bits = ReadBits(reader, "num_bits");
  const bool by_rows = reader.String("strategy", "group") == "channel";
  quantization.group_inputs = by_rows ? 0 : ReadGroup(reader);
  quantization.zeros = !reader.Bool("symmetric", true);
  quantization.act_order = reader.Has("actorder") && reader.String("actorder", "") == "group";
  LC_RETURN_IF_ERROR(reader.status());
  LC_RETURN_IF_ERROR(ReadIgnored(fields, "ignore", quantization));
  quantization.head = true;
  for (const std::string& pattern : quantization.ignored) {
    if (MatchesModule(pattern, "lm_head")) quantization.head = false;
  }
  return absl::OkStatus();
}

bool HasKnownLayout(const Quantization& quantization) {
  if (quantization.method == "gptq") {
    return quantization.layout == "gptq" || quantization.layout == "gptq_v2";
  }
  if (quantization.method == "awq") return quantization.layout == "gemm";
  return quantization.method == "compressed-tensors";
}

}  // namespace

absl::Status CheckQuantizationRunnable(const Quantization& quantization) {
  const auto refuse = [&](auto... what) {
    return absl::UnimplementedError(absl::StrCat(
        kWhere, ": ", quantization.method, what...,
        "; workers read gptq, awq (gemm) and compressed-tensors of 4 or 8 bits, and make int8 and "
        "int4 of unquantized checkpoints themselves (--weights)"));
  };
  if (!HasKnownLayout(quantization)) {
    return refuse(quantization.layout.empty() ? "" : " as ", quantization.layout,
                  " is computed by no worker yet");
  }
  if (quantization.bits != 4 && quantization.bits != 8) {
    return refuse(" of ", quantization.bits, " bits is computed by no worker yet");
  }
  // Which group an input is in is a shift.
  if (!std::has_single_bit(static_cast<uint64_t>(quantization.group_inputs)) &&
      quantization.group_inputs != 0) {
    return refuse(" in groups of ", quantization.group_inputs, " inputs is computed by no worker");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Quantization>> ReadQuantization(FieldReader& fields) {
  const json* object = fields.Find("quantization_config");
  if (object == nullptr) object = fields.Find("compression_config");
  if (object == nullptr) return std::nullopt;
  if (!object->is_object()) {
    fields.Fail("quantization_config", "must be an object");
    return fields.status();
  }
  FieldReader reader(*object, kWhere);
  Quantization quantization;
  quantization.method = absl::AsciiStrToLower(reader.String("quant_method", ""));
  LC_RETURN_IF_ERROR(reader.status());
  absl::Status status;
  if (quantization.method == "gptq") {
    status = ReadGptq(reader, quantization);
  } else if (quantization.method == "awq") {
    status = ReadAwq(reader, quantization);
  } else if (quantization.method == "fp8") {
    status = ReadFp8(reader, quantization);
  } else if (quantization.method == "compressed-tensors") {
    status = ReadPacked(reader, quantization);
  } else {
    return Unknown(absl::StrCat("quant_method \"", quantization.method, "\""));
  }
  LC_RETURN_IF_ERROR(status);
  LC_RETURN_IF_ERROR(reader.status());
  return quantization;
}

}  // namespace layercake
