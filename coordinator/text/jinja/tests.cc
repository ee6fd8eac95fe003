// Tests: what stands behind `is`.

#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/arguments.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/operators.h"
#include "coordinator/text/jinja/text_ops.h"

namespace layercake::jinja {
namespace {

using Result = absl::StatusOr<bool>;

absl::StatusOr<Value> Operand(const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(auto args, Bind("test", arguments, {"other"}, 1));
  return args[0];
}

template <char op, bool or_equal>
Result Ordered(const Value& value, const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(const Value other, Operand(arguments));
  return Compare(absl::StrCat(std::string(1, op), or_equal ? "=" : ""), value, other);
}

Result EqualTo(const Value& value, const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(const Value other, Operand(arguments));
  return value == other;
}

Result NotEqualTo(const Value& value, const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(const Value other, Operand(arguments));
  return !(value == other);
}

// Identity: the same kind and equal, as far as a template can see.
Result SameAs(const Value& value, const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(const Value other, Operand(arguments));
  return value.TypeName() == other.TypeName() && value == other;
}

Result In(const Value& value, const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(const Value container, Operand(arguments));
  return Contains(container, value);
}

Result DivisibleBy(const Value& value, const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(const Value other, Operand(arguments));
  if (!value.is_int() || !other.is_int() || other.integer() == 0) {
    return absl::InvalidArgumentError("divisibleby needs two integers, the second not zero");
  }
  return other.integer() == -1 || value.integer() % other.integer() == 0;
}

template <int64_t remainder>
Result HasParity(const Value& value, const Arguments&) {
  if (!value.is_int()) return absl::InvalidArgumentError("odd and even need an integer");
  return (value.integer() & 1) == remainder;
}

// A test without arguments.
template <bool (*predicate)(const Value&)>
Result Holds(const Value& value, const Arguments&) {
  return predicate(value);
}

template <bool (Value::*predicate)() const>
bool Is(const Value& value) {
  return (value.*predicate)();
}

bool IsDefined(const Value& value) { return !value.is_undefined(); }
bool IsCallable(const Value& value) { return value.is_function() || value.is_undefined(); }
bool IsTrue(const Value& value) { return value.is_bool() && value.Truthy(); }
bool IsFalse(const Value& value) { return value.is_bool() && !value.Truthy(); }
bool IsIterable(const Value& value) {
  return value.is_text() || value.is_list() || value.is_dict() || value.is_undefined();
}
bool IsFilter(const Value& value) { return value.is_text() && FindFilter(value.str()) != nullptr; }
bool IsTest(const Value& value) { return value.is_text() && FindTest(value.str()) != nullptr; }
bool IsEscaped(const Value&) { return false; }

// Python's islower() and isupper(), for the most part: no character of the other case.
template <Case wanted>
bool IsCase(const Value& value) {
  const MarkedText text = value.ToText();
  constexpr Case kOther = wanted == Case::kLower ? Case::kUpper : Case::kLower;
  return ToCase(text, wanted).text() == text.text() && ToCase(text, kOther).text() != text.text();
}

struct NamedTest {
  absl::string_view name;
  Test test;
};

constexpr std::array<NamedTest, 39> kTests = {{
    {"defined", &Holds<&IsDefined>},
    {"undefined", &Holds<&Is<&Value::is_undefined>>},
    {"none", &Holds<&Is<&Value::is_none>>},
    {"boolean", &Holds<&Is<&Value::is_bool>>},
    {"true", &Holds<&IsTrue>},
    {"false", &Holds<&IsFalse>},
    {"integer", &Holds<&Is<&Value::is_int>>},
    {"float", &Holds<&Is<&Value::is_double>>},
    {"number", &Holds<&Is<&Value::is_number>>},
    {"string", &Holds<&Is<&Value::is_text>>},
    {"mapping", &Holds<&Is<&Value::is_dict>>},
    {"sequence", &Holds<&IsIterable>},
    {"iterable", &Holds<&IsIterable>},
    {"callable", &Holds<&IsCallable>},
    {"lower", &Holds<&IsCase<Case::kLower>>},
    {"upper", &Holds<&IsCase<Case::kUpper>>},
    {"escaped", &Holds<&IsEscaped>},
    {"filter", &Holds<&IsFilter>},
    {"test", &Holds<&IsTest>},
    {"odd", &HasParity<1>},
    {"even", &HasParity<0>},
    {"divisibleby", &DivisibleBy},
    {"sameas", &SameAs},
    {"in", &In},
    {"eq", &EqualTo},
    {"equalto", &EqualTo},
    {"==", &EqualTo},
    {"ne", &NotEqualTo},
    {"!=", &NotEqualTo},
    {"lt", &Ordered<'<', false>},
    {"lessthan", &Ordered<'<', false>},
    {"<", &Ordered<'<', false>},
    {"le", &Ordered<'<', true>},
    {"<=", &Ordered<'<', true>},
    {"gt", &Ordered<'>', false>},
    {"greaterthan", &Ordered<'>', false>},
    {">", &Ordered<'>', false>},
    {"ge", &Ordered<'>', true>},
    {">=", &Ordered<'>', true>},
}};

}  // namespace

Test FindTest(absl::string_view name) {
  for (const NamedTest& test : kTests) {
    if (test.name == name) return test.test;
  }
  return nullptr;
}

}  // namespace layercake::jinja
