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

#define LC_TEST [](const Value& value, const Arguments&) -> Result

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

bool IsIterable(const Value& value) {
  return value.is_text() || value.is_list() || value.is_dict() || value.is_undefined();
}

struct NamedTest {
  absl::string_view name;
  Test test;
};

constexpr std::array<NamedTest, 39> kTests = {{{"defined", LC_TEST{return !value.is_undefined();
}  // namespace
}  // namespace layercake::jinja
, {"undefined", LC_TEST{return value.is_undefined();
}
}
, {"none", LC_TEST{return value.is_none();
}
}
, {"boolean", LC_TEST{return value.is_bool();
}
}
, {"true", LC_TEST{return value.is_bool() && value.Truthy();
}
}
, {"false", LC_TEST{return value.is_bool() && !value.Truthy();
}
}
, {"integer", LC_TEST{return value.is_int();
}
}
, {"float", LC_TEST{return value.is_double();
}
}
, {"number", LC_TEST{return value.is_number();
}
}
, {"string", LC_TEST{return value.is_text();
}
}
, {"mapping", LC_TEST{return value.is_dict();
}
}
, {"sequence", LC_TEST{return IsIterable(value);
}
}
, {"iterable", LC_TEST{return IsIterable(value);
}
}
, {"callable", LC_TEST{return value.is_function();
}
}
, {"lower", LC_TEST{const MarkedText text = value.ToText();
return ToCase(text, Case::kLower).text() == text.text() &&
       ToCase(text, Case::kUpper).text() != text.text();
}
}
, {"upper", LC_TEST{const MarkedText text = value.ToText();
return ToCase(text, Case::kUpper).text() == text.text() &&
       ToCase(text, Case::kLower).text() != text.text();
}
}
, {"odd", &HasParity<1>}, {"even", &HasParity<0>}, {"divisibleby", &DivisibleBy},
    {"sameas", &SameAs}, {"in", &In}, {"eq", &EqualTo}, {"equalto", &EqualTo}, {"==", &EqualTo},
    {"ne", &NotEqualTo}, {"!=", &NotEqualTo}, {"lt", &Ordered<'<', false>},
    {"lessthan", &Ordered<'<', false>}, {"<", &Ordered<'<', false>}, {"le", &Ordered<'<', true>},
    {"<=", &Ordered<'<', true>}, {"gt", &Ordered<'>', false>},
    {"greaterthan", &Ordered<'>', false>}, {">", &Ordered<'>', false>}, {"ge", &Ordered<'>', true>},
    {">=", &Ordered<'>', true>}, {"escaped", LC_TEST{(void)value;
return false;
}
}
, {"filter", LC_TEST{return value.is_text() && FindFilter(value.str()) != nullptr;
}
}
, {"test", LC_TEST{return value.is_text() && FindTest(value.str()) != nullptr;
}
}
,
}
}
;
#undef LC_TEST

}  // namespace

Test FindTest(absl::string_view name) {
  for (const NamedTest& test : kTests) {
    if (test.name == name) return test.test;
  }
  return nullptr;
}

}  // namespace layercake::jinja
