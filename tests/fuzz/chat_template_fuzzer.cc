// Chat templates: any bytes give a prompt or a status, in bounded time and memory, and what users
// typed stays marked.

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/base/logging.h"
#include "coordinator/text/jinja/template.h"
#include "coordinator/text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view source(reinterpret_cast<const char*>(data), size);
  const auto parsed = layercake::jinja::Template::Parse(source);
  if (!parsed.ok()) return 0;
  const layercake::OrderedJson messages = {{{"role", "system"}, {"content", " \u00e9QQQQ\n"}},
                                           {{"role", "user"}, {"content", "QQQQ, QQQQ?"}},
                                           {{"role", "tool"}, {"content", nullptr}}};
  const layercake::OrderedJson tools = {{{"name", "f"}, {"sizes", {1, -2.5, true}}}};
  layercake::jinja::Limits limits;
  limits.steps = 20'000;
  limits.bytes = 1 << 20;
  limits.output_bytes = 1 << 18;
  const auto prompt = (*parsed)->Render(
      {{"messages", messages, true}, {"tools", tools, true}, {"bos_token", "<s>"}}, limits,
      layercake::Clock::Real());
  if (!prompt.ok()) return 0;
  CHECK(layercake::IsValidUtf8(prompt->text()));
  if (source.find('Q') != absl::string_view::npos) return 0;
  const absl::string_view text = prompt->text();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == 'Q') CHECK(prompt->AnyUntrusted(i, i + 1));
  }
  return 0;
}
