#include "coordinator/text/jinja/json_values.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/operators.h"
#include "coordinator/text/utf8.h"

namespace layercake::jinja {
namespace {

constexpr std::array<absl::string_view, 5> kRoles = {"system", "user", "assistant", "tool",
                                                     "developer"};

Value OfString(const std::string& json, bool untrusted) {
  const std::string text = ToValidUtf8(json);
  const bool is_role = std::find(kRoles.begin(), kRoles.end(), text) != kRoles.end();
  return Value(untrusted && !is_role ? MarkedText::Untrusted(text) : MarkedText(text));
}

class Writer {
 public:
  explicit Writer(const JsonStyle& style) : style_(style) {}

  absl::Status Write(const Value& value, int depth) {
    if (depth > kMaxDepth) return absl::InvalidArgumentError("tojson: nested too deeply");
    if (value.is_text()) {
      WriteText(value.text());
    } else if (value.is_none()) {
      out_.Append("null", false);
    } else if (value.is_bool()) {
      out_.Append(value.Truthy() ? "true" : "false", false);
    } else if (value.is_number()) {
      out_.Append(value.Repr());
    } else if (value.is_list()) {
      return WriteList(value.list(), depth);
    } else if (value.is_dict()) {
      return WriteDict(value.dict(), depth);
    } else if (value.is_undefined()) {
      return UndefinedError(value);
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("tojson: a ", value.TypeName(), " has no JSON"));
    }
    return absl::OkStatus();
  }

  MarkedText Take() { return std::move(out_); }

 private:
  void WriteText(const MarkedText& text) {
    out_.Append("\"", false);
    for (size_t pos = 0; pos < text.size();) {
      const CodePoint c = DecodeUtf8(text.text(), pos);
      const bool untrusted = text.AnyUntrusted(pos, pos + c.length);
      const std::string escaped = Escape(c.value);
      out_.Append(escaped.empty() ? absl::string_view(text.text()).substr(pos, c.length) : escaped,
                  untrusted);
      pos += c.length;
    }
    out_.Append("\"", false);
  }

  // Empty when the character stands for itself.
  std::string Escape(char32_t c) const {
    switch (c) {
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      case '\n':
        return "\\n";
      case '\r':
        return "\\r";
      case '\t':
        return "\\t";
      case '\b':
        return "\\b";
      case '\f':
        return "\\f";
      default:
        break;
    }
    if (c >= 0x20 && (c < 0x7F || !style_.ensure_ascii)) return "";
    if (c < 0x10000) return absl::StrFormat("\\u%04x", static_cast<uint32_t>(c));
    const auto offset = static_cast<uint32_t>(c) - 0x10000;
    return absl::StrFormat("\\u%04x\\u%04x", 0xD800 + (offset >> 10), 0xDC00 + (offset & 0x3FF));
  }

  void StartItem(bool first, int depth) {
    if (!first) out_.Append(style_.item_separator, false);
    NewLine(depth);
  }

  void NewLine(int depth) {
    if (style_.indent < 0) return;
    out_.Append(absl::StrCat("\n", std::string(static_cast<size_t>(style_.indent * depth), ' ')),
                false);
  }

  absl::Status WriteList(const List& list, int depth) {
    out_.Append("[", false);
    for (size_t i = 0; i < list.size(); ++i) {
      StartItem(i == 0, depth + 1);
      LC_RETURN_IF_ERROR(Write(list[i], depth + 1));
    }
    if (!list.empty()) NewLine(depth);
    out_.Append("]", false);
    return absl::OkStatus();
  }

  absl::Status WriteDict(const Dict& dict, int depth) {
    auto items = dict.items();
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
        return a.first.ToText().text() < b.first.ToText().text();
      });
    }
    out_.Append("{", false);
    for (size_t i = 0; i < items.size(); ++i) {
      StartItem(i == 0, depth + 1);
      const Value& key = items[i].first;
      // Other keys than texts are written as texts: true, null, 1.
      Writer key_writer(style_);
      LC_RETURN_IF_ERROR(key_writer.Write(key, depth + 1));
      if (!key.is_text()) out_.Append("\"", false);
      out_.Append(key_writer.Take());
      if (!key.is_text()) out_.Append("\"", false);
      out_.Append(style_.key_separator, false);
      LC_RETURN_IF_ERROR(Write(items[i].second, depth + 1));
    }
    if (!items.empty()) NewLine(depth);
    out_.Append("}", false);
    return absl::OkStatus();
  }

  const JsonStyle& style_;
  MarkedText out_;
};

}  // namespace

absl::StatusOr<Value> FromJson(const OrderedJson& json, bool untrusted, Context& context,
                               int depth) {
  if (depth > kMaxDepth) {
    return absl::InvalidArgumentError("a variable of the chat template is nested too deeply");
  }
  if (json.is_null()) return Value::OfNone();
  if (json.is_boolean()) return Value::OfBool(json.get<bool>());
  if (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX) {
    return Value::OfDouble(json.get<double>());
  }
  if (json.is_number_integer()) return Value::OfInt(json.get<int64_t>());
  if (json.is_number()) return Value::OfDouble(json.get<double>());
  if (json.is_string()) return OfString(json.get<std::string>(), untrusted);
  if (json.is_array()) {
    List list;
    for (const OrderedJson& item : json) {
      LC_ASSIGN_OR_RETURN(Value value, FromJson(item, untrusted, context, depth + 1));
      list.push_back(std::move(value));
    }
    return context.NewList(std::move(list));
  }
  Dict dict;
  for (const auto& [key, item] : json.items()) {
    LC_ASSIGN_OR_RETURN(Value value, FromJson(item, untrusted, context, depth + 1));
    LC_RETURN_IF_ERROR(dict.Set(OfString(key, untrusted), std::move(value)));
  }
  return context.NewDict(std::move(dict));
}

absl::StatusOr<MarkedText> ToJson(const Value& value, const JsonStyle& style) {
  Writer writer(style);
  LC_RETURN_IF_ERROR(writer.Write(value, 0));
  return writer.Take();
}

}  // namespace layercake::jinja
