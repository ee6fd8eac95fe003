#include "coordinator/text/jinja/context.h"

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status_macros.h"

namespace layercake::jinja {

const Value* Scope::Find(absl::string_view name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent_) {
    const auto it = scope->variables_.find(name);
    if (it != scope->variables_.end()) return &it->second;
  }
  return nullptr;
}

Value Context::NewList(List items) {
  lists_.push_back(std::move(items));
  return Value(Value::Holder(&std::as_const(lists_.back())));
}

Value Context::NewTuple(List items) {
  items.is_tuple = true;
  return NewList(std::move(items));
}

Value Context::NewDict(Dict dict) {
  dicts_.push_back(std::move(dict));
  return Value(Value::Holder(&std::as_const(dicts_.back())));
}

Value Context::NewNamespace(Dict members) {
  namespaces_.push_back({std::move(members)});
  return Value(Value::Holder(&namespaces_.back()));
}

LoopState* Context::NewLoop(const List* items) {
  loops_.push_back({items, 0});
  return &loops_.back();
}

absl::Status Context::Charge(int64_t steps, int64_t bytes) {
  steps_ += steps;
  bytes_ += bytes;
  if (steps_ > limits_.steps) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the chat template takes more than ", limits_.steps, " steps"));
  }
  if (bytes_ > limits_.bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the chat template makes more than ", FormatBytes(limits_.bytes), " of text"));
  }
  return absl::OkStatus();
}

absl::Status Context::Write(const MarkedText& text) {
  LC_RETURN_IF_ERROR(Charge(1, static_cast<int64_t>(text.size())));
  if (static_cast<int64_t>(output_.size() + text.size()) > limits_.output_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the chat template writes more than ", FormatBytes(limits_.output_bytes)));
  }
  output_.Append(text);
  return absl::OkStatus();
}

absl::Status Context::Level::status() const {
  if (context_.depth_ <= context_.limits_.depth) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the chat template nests deeper than ", context_.limits_.depth, " levels"));
}

}  // namespace layercake::jinja
