#pragma once

// The values a chat template computes with. They behave as Python's do in Jinja.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/marked_text.h"

namespace layercake::jinja {

class Context;
class Value;
struct Arguments;
struct LoopState;

// A variable, member or argument that is not there. `name` says which, for error messages.
struct Undefined {
  std::string name;
};
struct None {};

struct List;

// Keeps the order of insertion.
class Dict {
 public:
  // nullptr when absent.
  const Value* Find(const Value& key) const;
  const Value* Find(absl::string_view key) const;
  // Errors: InvalidArgument (the key is a list or the like).
  absl::Status Set(const Value& key, Value value);
  void Set(absl::string_view key, Value value);

  const std::vector<std::pair<Value, Value>>& items() const { return items_; }

 private:
  std::vector<std::pair<Value, Value>> items_;
  absl::flat_hash_map<std::string, size_t> index_;
};

// What namespace() makes: the one thing a template may change after making it.
struct Namespace {
  Dict members;
};

// A function, method or macro.
struct Callable {
  std::string name;
  std::function<absl::StatusOr<Value>(Context&, const Arguments&)> call;
};

// Lists, dicts, namespaces and loops belong to the Context that made them, and so must not outlive
// it: values that hold each other in a circle, or very deeply, then need no care. Copying is cheap.
class Value {
 public:
  using Text = std::shared_ptr<const MarkedText>;
  using Function = std::shared_ptr<const Callable>;
  using Holder = std::variant<Undefined, None, bool, int64_t, double, Text, const List*,
                              const Dict*, Namespace*, const LoopState*, Function>;

  Value() : holder_(Undefined()) {}
  Value(Holder holder) : holder_(std::move(holder)) {}  // NOLINT: values are made from all kinds
  Value(MarkedText text) : holder_(std::make_shared<const MarkedText>(std::move(text))) {}
  // Trusted text.
  static Value OfText(std::string text) { return Value(MarkedText(std::move(text))); }
  static Value OfBool(bool value) { return Value(Holder(value)); }
  static Value OfInt(int64_t value) { return Value(Holder(value)); }
  static Value OfDouble(double value) { return Value(Holder(value)); }
  static Value OfNone() { return Value(Holder(None())); }

  bool is_undefined() const { return Is<Undefined>(); }
  bool is_none() const { return Is<None>(); }
  bool is_bool() const { return Is<bool>(); }
  bool is_int() const { return Is<int64_t>(); }
  bool is_double() const { return Is<double>(); }
  bool is_number() const { return is_bool() || is_int() || is_double(); }
  bool is_text() const { return Is<Text>(); }
  bool is_list() const { return Is<const List*>(); }
  bool is_dict() const { return Is<const Dict*>(); }
  bool is_function() const { return Is<Function>(); }

  // REQUIRES: the value is of that kind.
  const MarkedText& text() const { return *std::get<Text>(holder_); }
  const std::string& str() const { return text().text(); }
  const List& list() const { return *std::get<const List*>(holder_); }
  const Dict& dict() const { return *std::get<const Dict*>(holder_); }
  const Function& function() const { return std::get<Function>(holder_); }
  const Undefined& undefined() const { return std::get<Undefined>(holder_); }
  int64_t integer() const;  // of a bool or int
  double number() const;    // of any number
  // nullptr when it is something else.
  Namespace* as_namespace() const;
  const LoopState* as_loop() const;

  // Python's truth value.
  bool Truthy() const;
  // Python's name for its type, for messages.
  absl::string_view TypeName() const;
  // str(value): what is printed. Text keeps its marks.
  MarkedText ToText() const;
  // repr(value), as lists print their members. REQUIRES: depth <= kMaxDepth, checked by callers.
  MarkedText Repr(int depth = 0) const;

  friend bool operator==(const Value& a, const Value& b) { return Equal(a, b, 0); }

 private:
  template <typename T>
  bool Is() const {
    return std::holds_alternative<T>(holder_);
  }
  static bool Equal(const Value& a, const Value& b, int depth);

  Holder holder_;
};

// Lists and tuples, which differ in how they are printed.
struct List : std::vector<Value> {
  using std::vector<Value>::vector;
  bool is_tuple = false;
};

// Deeper structures compare as different and print as "...".
constexpr int kMaxDepth = 64;

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Where a for loop is: the template's `loop`.
struct LoopState {
  const List* items = nullptr;
  size_t index = 0;
};

}  // namespace layercake::jinja
