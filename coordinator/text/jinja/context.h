#pragma once

// The state of one rendering: variables, what values live in, output, and how much may still be
// done. A template that would run for ever, or fill the memory, ends with ResourceExhausted.

#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/base/clock.h"
#include "coordinator/text/jinja/value.h"
#include "coordinator/text/marked_text.h"

namespace layercake::jinja {

struct Limits {
  int64_t steps = 5'000'000;        // expressions and statements evaluated, list items made
  int64_t bytes = 512 << 20;        // of all texts made along the way
  int64_t output_bytes = 16 << 20;  // of the rendering
  int depth = 300;                  // of expressions, statements and macro calls in each other
};

// Variables of one block; names not in it are looked for in `parent`.
class Scope {
 public:
  explicit Scope(const Scope* parent) : parent_(parent) {}
  const Value* Find(absl::string_view name) const;
  void Set(absl::string_view name, Value value) {
    variables_[std::string(name)] = std::move(value);
  }
  void Clear() { variables_.clear(); }

 private:
  const Scope* parent_;
  absl::flat_hash_map<std::string, Value> variables_;
};

// Not thread-safe.
class Context {
 public:
  Context(const Limits& limits, const Clock* clock) : limits_(limits), clock_(clock) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // What values point to; lives as long as the context.
  Value NewList(List items);
  Value NewTuple(List items);
  Value NewDict(Dict dict);
  Value NewNamespace(Dict members);
  // A loop over `items`, which must be of this context.
  LoopState* NewLoop(const List* items);

  // Accounts for work done or about to be done. Errors: ResourceExhausted.
  absl::Status Charge(int64_t steps, int64_t bytes);
  absl::Status ChargeText(const Value& value) {
    return Charge(1, value.is_text() ? static_cast<int64_t>(value.text().size()) : 0);
  }

  // Errors: ResourceExhausted (the output is too long).
  absl::Status Write(const MarkedText& text);
  MarkedText TakeOutput() { return std::exchange(output_, MarkedText()); }
  // Begins to collect output apart; the old output is returned and must be put back.
  MarkedText SwapOutput(MarkedText output) { return std::exchange(output_, std::move(output)); }

  Scope& globals() { return globals_; }
  Scope* scope() { return scope_; }
  const Clock& clock() const { return *clock_; }

  // One level deeper for as long as it lives. Errors in `status()`: ResourceExhausted.
  class Level {
   public:
    explicit Level(Context& context) : context_(context) { ++context_.depth_; }
    ~Level() { --context_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    absl::Status status() const;

   private:
    Context& context_;
  };

  // Has `scope` as the innermost one for as long as it lives.
  // REQUIRES: `scope` outlives it.
  class Within {
   public:
    Within(Context& context, Scope* scope)
        : context_(context), outer_(std::exchange(context.scope_, scope)) {}
    ~Within() { context_.scope_ = outer_; }
    Within(const Within&) = delete;
    Within& operator=(const Within&) = delete;

   private:
    Context& context_;
    Scope* const outer_;
  };

 private:
  const Limits limits_;
  const Clock* const clock_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
  int depth_ = 0;
  MarkedText output_;
  Scope globals_{nullptr};
  Scope* scope_ = &globals_;
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::deque<Namespace> namespaces_;
  std::deque<LoopState> loops_;
};

}  // namespace layercake::jinja
