// How fast text becomes ids: MB/s over this repository's own prose, with the
// tokenizers that the golden tests use (their vocabularies are a few thousand pieces).

#include <benchmark/benchmark.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "common/base/logging.h"
#include "coordinator/text/tokenizer.h"

namespace layercake {
namespace {

std::string Prose() {
  std::string text;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(LAYERCAKE_SOURCE_DIR "/coordinator")) {
    if (entry.path().extension() != ".md" && entry.path().extension() != ".h") continue;
    std::ostringstream file;
    file << std::ifstream(entry.path()).rdbuf();
    text += file.str();
  }
  return text;
}

void BM_Encode(benchmark::State& state, const std::string& name) {
  const auto tokenizer =
      Tokenizer::Load(LAYERCAKE_SOURCE_DIR "/tests/golden/tokenizers/" + name + "/tokenizer.json");
  CHECK(tokenizer.ok()) << tokenizer.status();
  const std::string text = Prose();
  size_t num_ids = 0;
  for (auto _ : state) {
    const auto ids = (*tokenizer)->Encode(text);
    CHECK(ids.ok()) << ids.status();
    num_ids = ids->size();
  }
  state.SetBytesProcessed(static_cast<int64_t>(text.size()) * state.iterations());
  state.counters["bytes_per_id"] = static_cast<double>(text.size()) / static_cast<double>(num_ids);
}
BENCHMARK_CAPTURE(BM_Encode, llama2, "llama2")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Encode, llama3, "llama3")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Encode, qwen2, "qwen2")->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace layercake
