#include "coordinator/cli/output.h"

#include <google/protobuf/util/json_util.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace layercake {

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) return "{}\n";
  if (json.empty() || json.back() != '\n') json += "\n";
  return json;
}

std::string Quote(absl::string_view bytes) {
  bool utf8 = true;
  for (size_t at = 0; at < bytes.size() && utf8;) {
    utf8proc_int32_t character = 0;
    const utf8proc_ssize_t length =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data() + at),
                         static_cast<utf8proc_ssize_t>(bytes.size() - at), &character);
    utf8 = length > 0;
    if (utf8) at += static_cast<size_t>(length);
  }
  return absl::StrCat("\"", utf8 ? absl::Utf8SafeCHexEscape(bytes) : absl::CHexEscape(bytes), "\"");
}

bool IsTerminal(int file_descriptor) { return isatty(file_descriptor) == 1; }

int TerminalWidth() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 100;
  return size.ws_col;
}

PlanStyle StyleOfStdout() {
  PlanStyle style{.width = TerminalWidth()};
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return absl::string_view(value == nullptr ? "" : value);
  };
  // The first that is set decides, as for the C library.
  absl::string_view locale;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (locale.empty()) locale = variable(name);
  }
  const std::string encoding = absl::AsciiStrToLower(locale);
  const bool terminal = IsTerminal(STDOUT_FILENO);
  style.utf8 =
      terminal && (absl::StrContains(encoding, "utf-8") || absl::StrContains(encoding, "utf8"));
  style.color = terminal && variable("NO_COLOR").empty() && variable("TERM") != "dumb";
  return style;
}

std::string ModelPath(const std::string& model_dir) {
  std::error_code error;
  if (!std::filesystem::exists(model_dir, error)) return model_dir;
  const std::filesystem::path path = std::filesystem::canonical(model_dir, error);
  return error ? model_dir : path.string();
}

}  // namespace layercake
