#include "common/model/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/model/json_object.h"

namespace layercake {
namespace {

using nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

std::optional<DType> KnownDType(absl::string_view name) {
  if (name == "F32") return DType::kF32;
  if (name == "F16") return DType::kF16;
  if (name == "BF16") return DType::kBF16;
  return std::nullopt;
}

absl::Status TensorError(const std::string& name, absl::string_view message) {
  return absl::DataLossError(absl::StrCat("tensor ", name, ": ", message));
}

absl::StatusOr<std::vector<int64_t>> ReadIntegers(const std::string& name, const json& tensor,
                                                  const char* field) {
  const auto it = tensor.find(field);
  if (it == tensor.end() || !it->is_array()) {
    return TensorError(name, absl::StrCat(field, " is missing or no list"));
  }
  std::vector<int64_t> values;
  for (const json& value : *it) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t{1} << 62) {
      return TensorError(name, absl::StrCat(field, " holds something that is no natural number"));
    }
    values.push_back(value.get<int64_t>());
  }
  return values;
}

// -1 when it does not fit.
int64_t BytesOf(const std::vector<int64_t>& shape, DType dtype) {
  int64_t bytes = DTypeBytes(dtype);
  for (const int64_t dim : shape) {
    if (__builtin_mul_overflow(bytes, dim, &bytes)) return -1;
  }
  return bytes;
}

class HeaderReader {
 public:
  explicit HeaderReader(absl::string_view data) : data_(data) {}

  absl::Status Add(const std::string& name, const json& tensor) {
    if (!tensor.is_object()) return TensorError(name, "its entry is no object");
    LC_ASSIGN_OR_RETURN(const auto offsets, ReadIntegers(name, tensor, "data_offsets"));
    LC_ASSIGN_OR_RETURN(auto shape, ReadIntegers(name, tensor, "shape"));
    if (offsets.size() != 2 || offsets[0] > offsets[1]) {
      return TensorError(name, absl::StrCat("data_offsets [", absl::StrJoin(offsets, ", "),
                                            "] are not a begin and an end"));
    }
    if (offsets[1] > static_cast<int64_t>(data_.size())) {
      return TensorError(name, absl::StrCat("ends at byte ", offsets[1], " of ", data_.size(),
                                            ": the file is truncated, or its header lies"));
    }
    ranges_.emplace_back(offsets[0], offsets[1], name);
    const auto dtype_name = tensor.find("dtype");
    if (dtype_name == tensor.end() || !dtype_name->is_string()) {
      return TensorError(name, "dtype is missing or no string");
    }
    const auto dtype = KnownDType(dtype_name->get_ref<const std::string&>());
    const int64_t bytes = offsets[1] - offsets[0];
    if (!dtype) {
      header_.others[name] = {dtype_name->get<std::string>(), std::move(shape),
                              data_.substr(offsets[0], bytes)};
      return absl::OkStatus();
    }
    if (BytesOf(shape, *dtype) != bytes) {
      return TensorError(name, absl::StrCat("has ", bytes, " bytes, but ",
                                            dtype_name->get_ref<const std::string&>(), " [",
                                            absl::StrJoin(shape, ", "), "] is another size"));
    }
    header_.tensors[name] = {*dtype, std::move(shape), data_.substr(offsets[0], bytes)};
    return absl::OkStatus();
  }

  absl::StatusOr<SafetensorsHeader> Finish() {
    std::sort(ranges_.begin(), ranges_.end());
    for (size_t i = 1; i < ranges_.size(); ++i) {
      const auto& [begin, end, name] = ranges_[i];
      const auto& [before_begin, before_end, before] = ranges_[i - 1];
      if (begin < before_end) {
        return TensorError(name, absl::StrCat("its bytes ", begin, "-", end, " overlap those of ",
                                              before, ", ", before_begin, "-", before_end));
      }
    }
    return std::move(header_);
  }

 private:
  const absl::string_view data_;
  SafetensorsHeader header_;
  std::vector<std::tuple<int64_t, int64_t, std::string>> ranges_;
};

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensors(absl::string_view file) {
  if (file.size() < kLengthBytes) {
    return absl::DataLossError(absl::StrCat("the file is truncated: it has ", file.size(),
                                            " bytes, a safetensors file at least 8"));
  }
  static_assert(std::endian::native == std::endian::little);
  uint64_t length;
  std::memcpy(&length, file.data(), sizeof(length));
  if (length > kMaxHeaderBytes) {
    return absl::DataLossError(absl::StrCat(
        "the header claims ", length, " bytes, more than the ", kMaxHeaderBytes,
        " a safetensors header may have: the file is corrupt, or no safetensors file"));
  }
  if (length > file.size() - kLengthBytes) {
    return absl::DataLossError(absl::StrCat("the file is truncated: its header claims ", length,
                                            " bytes, but only ", file.size() - kLengthBytes,
                                            " follow"));
  }
  LC_ASSIGN_OR_RETURN(const json object,
                      ParseJsonObject(file.substr(kLengthBytes, length), "the safetensors header",
                                      kMaxHeaderBytes));
  HeaderReader reader(file.substr(kLengthBytes + length));
  for (const auto& [name, tensor] : object.items()) {
    if (name == "__metadata__") continue;
    LC_RETURN_IF_ERROR(reader.Add(name, tensor));
  }
  return reader.Finish();
}

}  // namespace layercake
