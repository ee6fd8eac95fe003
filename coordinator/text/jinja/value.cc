#include "coordinator/text/jinja/value.h"

#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "coordinator/text/jinja/string_literal.h"

namespace layercake::jinja {
namespace {

// Equal numbers are one key, whatever their type.
std::string IndexKey(const Value& key) {
  if (key.is_text()) return absl::StrCat("s", key.str());
  if (key.is_number()) return absl::StrCat("n", key.number());
  return key.is_none() ? "0" : key.is_undefined() ? "u" : "";
}

// repr(float): the shortest digits that read back the same.
std::string DoubleText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  const double size = std::fabs(value);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  char buffer[64];
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value, format);
  std::string text(buffer, result.ptr);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

}  // namespace

const Value* Dict::Find(const Value& key) const {
  const auto it = index_.find(IndexKey(key));
  return it == index_.end() ? nullptr : &items_[it->second].second;
}

const Value* Dict::Find(absl::string_view key) const {
  const auto it = index_.find(absl::StrCat("s", key));
  return it == index_.end() ? nullptr : &items_[it->second].second;
}

absl::Status Dict::Set(const Value& key, Value value) {
  const std::string index_key = IndexKey(key);
  if (index_key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a value of type ", key.TypeName(), " cannot be a key"));
  }
  const auto [it, inserted] = index_.emplace(index_key, items_.size());
  if (inserted) {
    items_.emplace_back(key, std::move(value));
  } else {
    items_[it->second].second = std::move(value);
  }
  return absl::OkStatus();
}

void Dict::Set(absl::string_view key, Value value) {
  Set(Value::OfText(std::string(key)), std::move(value)).IgnoreError();
}

int64_t Value::integer() const {
  return is_bool() ? std::get<bool>(holder_) : std::get<int64_t>(holder_);
}

double Value::number() const {
  return is_double() ? std::get<double>(holder_) : static_cast<double>(integer());
}

Namespace* Value::as_namespace() const {
  const auto* held = std::get_if<Namespace*>(&holder_);
  return held == nullptr ? nullptr : *held;
}

const LoopState* Value::as_loop() const {
  const auto* held = std::get_if<const LoopState*>(&holder_);
  return held == nullptr ? nullptr : *held;
}

bool Value::Truthy() const {
  if (is_undefined() || is_none()) return false;
  if (is_number()) return number() != 0;
  if (is_text()) return !text().empty();
  if (is_list()) return !list().empty();
  if (is_dict()) return !dict().items().empty();
  return true;
}

absl::string_view Value::TypeName() const {
  constexpr absl::string_view kNames[] = {"undefined", "NoneType", "bool",    "int",
                                          "float",     "str",      "list",    "dict",
                                          "namespace", "loop",     "function"};
  return kNames[holder_.index()];
}

MarkedText Value::ToText() const {
  if (is_text()) return text();
  if (is_undefined()) return MarkedText();
  return Repr();
}

MarkedText Value::Repr(int depth) const {
  if (is_none()) return MarkedText("None");
  if (is_bool()) return MarkedText(integer() != 0 ? "True" : "False");
  if (is_int()) return MarkedText(absl::StrCat(integer()));
  if (is_double()) return MarkedText(DoubleText(number()));
  MarkedText out;
  if (is_text()) {
    out.Append(Quote(str()), text().has_untrusted());
  } else if (depth > kMaxDepth) {
    out.Append("...", false);
  } else if (is_list()) {
    const bool is_tuple = list().is_tuple;
    out.Append(is_tuple ? "(" : "[", false);
    for (size_t i = 0; i < list().size(); ++i) {
      if (i > 0) out.Append(", ", false);
      out.Append(list()[i].Repr(depth + 1));
    }
    if (is_tuple && list().size() == 1) out.Append(",", false);
    out.Append(is_tuple ? ")" : "]", false);
  } else if (is_dict()) {
    out.Append("{", false);
    const auto& items = dict().items();
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out.Append(", ", false);
      out.Append(items[i].first.Repr(depth + 1));
      out.Append(": ", false);
      out.Append(items[i].second.Repr(depth + 1));
    }
    out.Append("}", false);
  } else {
    out.Append(is_undefined() ? "Undefined" : absl::StrCat("<", TypeName(), ">"), false);
  }
  return out;
}

bool Value::Equal(const Value& a, const Value& b, int depth) {
  if (depth > kMaxDepth) return false;
  if (a.is_number() && b.is_number()) {
    return a.is_double() || b.is_double() ? a.number() == b.number() : a.integer() == b.integer();
  }
  if (a.holder_.index() != b.holder_.index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (a.is_text()) return a.str() == b.str();
  if (a.is_list()) {
    if (a.list().is_tuple != b.list().is_tuple) return false;
    if (a.list().size() != b.list().size()) return false;
    for (size_t i = 0; i < a.list().size(); ++i) {
      if (!Equal(a.list()[i], b.list()[i], depth + 1)) return false;
    }
    return true;
  }
  if (a.is_dict()) {
    if (a.dict().items().size() != b.dict().items().size()) return false;
    for (const auto& [key, value] : a.dict().items()) {
      const Value* other = b.dict().Find(key);
      if (other == nullptr || !Equal(value, *other, depth + 1)) return false;
    }
    return true;
  }
  if (a.is_function()) return a.function() == b.function();
  return a.as_namespace() == b.as_namespace() && a.as_loop() == b.as_loop();
}

}  // namespace layercake::jinja
