// config.json and generation_config.json: any bytes give a config or a status.

#include <cstddef>
#include <cstdint>

#include "common/base/logging.h"
#include "common/model/config.h"
#include "common/model/costs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  auto config = layercake::ParseModelConfig(text);
  if (config.ok()) {
    // What is accepted must be safe to compute with.
    CHECK_GT(config->head_dim, 0);
    CHECK_EQ(config->head_dim % 2, 0);
    CHECK_EQ(config->num_heads % config->num_kv_heads, 0);
    CHECK_GT(layercake::StageWeightBytes(*config, {0, config->num_layers, true, true}), 0);
    CHECK_GT(layercake::LayerBlockBytes(*config, {}), 0);
  }
  layercake::ModelConfig defaults;
  (void)layercake::ParseGenerationConfig(text, defaults);
  return 0;
}
