// tokenizer.json: any bytes give a tokenizer or a status, and a tokenizer that encodes and decodes.

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/base/logging.h"
#include "coordinator/text/detokenizer.h"
#include "coordinator/text/tokenizer.h"
#include "coordinator/text/utf8.h"

namespace {

void Use(const layercake::Tokenizer& tokenizer, const std::string& text) {
  const auto ids = tokenizer.Encode(text);
  if (!ids.ok()) return;
  layercake::Detokenizer detokenizer(tokenizer);
  std::string pieces;
  for (const int32_t id : *ids) {
    CHECK(id >= 0 && id < tokenizer.vocab_size()) << id;
    pieces += detokenizer.Push(id);
    CHECK(layercake::IsValidUtf8(pieces));
    (void)tokenizer.TokenBytes(id);
  }
  pieces += detokenizer.Flush();
  CHECK(pieces == tokenizer.Decode(*ids, /*skip_special=*/true));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = layercake::Tokenizer::FromJson(text);
  if (!tokenizer.ok()) {
    CHECK(!tokenizer.status().message().empty());
    return 0;
  }
  Use(**tokenizer, " It's 12 caf\u00e9s,\r\n  \u4f60\u597d\U0001F600 <s>x</s> ab\xF0\x9F ");
  Use(**tokenizer, text.substr(0, 64));
  return 0;
}
