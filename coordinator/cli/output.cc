#include "coordinator/cli/output.h"

#include <google/protobuf/util/json_util.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <filesystem>

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

bool IsTerminal(int file_descriptor) { return isatty(file_descriptor) == 1; }

int TerminalWidth() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 100;
  return size.ws_col;
}

std::string ModelPath(const std::string& model_dir) {
  std::error_code error;
  if (!std::filesystem::exists(model_dir, error)) return model_dir;
  const std::filesystem::path path = std::filesystem::canonical(model_dir, error);
  return error ? model_dir : path.string();
}

}  // namespace layercake
