#include "coordinator/fleet/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

constexpr size_t kMaxBytes = 4 << 20;
constexpr int kMaxDepth = 16;
constexpr int kMaxValues = 100'000;

absl::Status ErrorAt(absl::string_view file, int line, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(file, ":", std::max(1, line), ": ", message));
}

// Marks count from 0; a node without one has -1.
int LineOf(const YAML::Node& node) { return std::max(1, node.Mark().line + 1); }

class Converter {
 public:
  explicit Converter(absl::string_view file) : file_(file) {}

  // Aliases are values like any other here, so a few lines could stand for billions: they count.
  absl::StatusOr<YamlValue> Convert(const YAML::Node& node, int depth) {
    YamlValue value;
    value.line = LineOf(node);
    if (++values_ > kMaxValues) {
      return ErrorAt(file_, value.line, absl::StrCat("more than ", kMaxValues, " values"));
    }
    if (depth > kMaxDepth) {
      return ErrorAt(file_, value.line, absl::StrCat("nested deeper than ", kMaxDepth));
    }
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        value.kind = YamlValue::Kind::kText;
        value.text = node.Scalar();
        return value;
      case YAML::NodeType::Sequence:
        value.kind = YamlValue::Kind::kList;
        for (const YAML::Node& item : node) {
          LC_ASSIGN_OR_RETURN(YamlValue converted, Convert(item, depth + 1));
          value.items.push_back(std::move(converted));
        }
        return value;
      case YAML::NodeType::Map:
        value.kind = YamlValue::Kind::kMap;
        for (const auto& field : node) LC_RETURN_IF_ERROR(AddField(field, depth, value));
        return value;
      default:
        return value;
    }
  }

 private:
  absl::Status AddField(const YAML::const_iterator::value_type& field, int depth, YamlValue& map) {
    LC_ASSIGN_OR_RETURN(YamlValue key, Convert(field.first, depth + 1));
    if (key.kind != YamlValue::Kind::kText) {
      return ErrorAt(file_, key.line, "a key must be plain text");
    }
    for (const auto& [before, value] : map.fields) {
      if (before.text != key.text) continue;
      return ErrorAt(file_, key.line,
                     absl::StrCat("\"", key.text,
                                  "\" stands here for the second time; first in "
                                  "line ",
                                  before.line));
    }
    LC_ASSIGN_OR_RETURN(YamlValue value, Convert(field.second, depth + 1));
    map.fields.push_back({std::move(key), std::move(value)});
    return absl::OkStatus();
  }

  const absl::string_view file_;
  int values_ = 0;
};

// Where documents begin, and nothing of what is in them.
class DocumentStarts : public YAML::EventHandler {
 public:
  // Of the first two: YAML::LoadAll looks for all of them, and never ends where a text such as ","
  // makes one after another of nothing.
  static std::vector<int> Lines(const std::string& text) {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    DocumentStarts starts;
    while (starts.lines_.size() < 2 && parser.HandleNextDocument(starts)) continue;
    return starts.lines_;
  }

  void OnDocumentStart(const YAML::Mark& mark) override { lines_.push_back(mark.line + 1); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  std::vector<int> lines_;
};

}  // namespace

absl::StatusOr<YamlValue> ParseYaml(absl::string_view text, absl::string_view file) {
  if (text.size() > kMaxBytes) {
    return ErrorAt(file, 1,
                   absl::StrCat("the file has ", text.size(), " bytes, more than ", kMaxBytes));
  }
  try {
    const std::string own(text);
    const std::vector<int> documents = DocumentStarts::Lines(own);
    if (documents.size() > 1) {
      return ErrorAt(file, documents[1], "a second document begins; write one");
    }
    if (documents.empty()) return YamlValue();
    return Converter(file).Convert(YAML::Load(own), 0);
  } catch (const YAML::Exception& exception) {
    return ErrorAt(file, exception.mark.line + 1, absl::StrCat("no YAML: ", exception.msg));
  } catch (const std::exception& exception) {
    return ErrorAt(file, 1, absl::StrCat("no YAML: ", exception.what()));
  }
}

absl::Status YamlError(absl::string_view file, const YamlValue& at, absl::string_view message) {
  return ErrorAt(file, at.line, message);
}

}  // namespace layercake
