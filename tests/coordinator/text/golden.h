#pragma once

// The recorded answers of Hugging Face's libraries in tests/golden; see its README.

#include <fstream>
#include <string>
#include <vector>

#include "coordinator/text/json_fields.h"

namespace layercake {

inline std::string GoldenPath(const std::string& path) {
  return std::string(LAYERCAKE_SOURCE_DIR) + "/tests/golden/" + path;
}

inline std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline Json ReadGolden(const std::string& path) { return Json::parse(ReadAll(GoldenPath(path))); }
inline OrderedJson ReadOrderedGolden(const std::string& path) {
  return OrderedJson::parse(ReadAll(GoldenPath(path)));
}

template <typename J>
std::vector<int32_t> Ids(const J& json) {
  return json.template get<std::vector<int32_t>>();
}

}  // namespace layercake
