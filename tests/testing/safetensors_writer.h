#pragma once

// Builds model directories for tests, whole ones and broken ones.

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace layercake {

// A safetensors file of `header` (any text) and `data`, with the length field that fits.
inline std::string SafetensorsFile(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file + header + data;
}

struct TestTensor {
  std::string dtype = "F32";
  std::vector<int64_t> shape;
};
using TestTensors = std::map<std::string, TestTensor>;

// The header of `tensors`, laid out one after another, and zeroes for their data.
inline std::string SafetensorsFile(const TestTensors& tensors) {
  std::vector<std::string> entries;
  int64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const bool wide = tensor.dtype == "F32" || tensor.dtype == "I32";
    int64_t bytes = wide ? 4 : tensor.dtype == "I64" ? 8 : 2;
    for (const int64_t dim : tensor.shape) bytes *= dim;
    entries.push_back(absl::StrCat("\"", name, "\":{\"dtype\":\"", tensor.dtype, "\",\"shape\":[",
                                   absl::StrJoin(tensor.shape, ","), "],\"data_offsets\":[", offset,
                                   ",", offset + bytes, "]}"));
    offset += bytes;
  }
  return SafetensorsFile(absl::StrCat("{", absl::StrJoin(entries, ","), "}"),
                         std::string(offset, '\0'));
}

// A directory that goes when the test does.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string path = (std::filesystem::temp_directory_path() / "layercake_XXXXXX").string();
    path_ = mkdtemp(path.data());
  }
  ~TemporaryDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << text;
  }
  void Remove(const std::string& name) const { std::filesystem::remove(path_ + "/" + name); }

 private:
  std::string path_;
};

}  // namespace layercake
