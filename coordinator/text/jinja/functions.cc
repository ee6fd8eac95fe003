// The functions every template can call.

#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/arguments.h"
#include "coordinator/text/jinja/builtins.h"

namespace layercake::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Function = Result (*)(Context& context, const Arguments& arguments);

Result Range(Context& context, const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("range", arguments, {"start", "stop", "step"}, 1));
  LC_ASSIGN_OR_RETURN(int64_t start, IntOr(args[0], 0, "range"));
  int64_t stop = start;
  if (args[1].is_undefined()) {
    start = 0;
  } else {
    LC_ASSIGN_OR_RETURN(stop, IntOr(args[1], 0, "range"));
  }
  LC_ASSIGN_OR_RETURN(const int64_t step, IntOr(args[2], 1, "range"));
  if (step == 0) return absl::InvalidArgumentError("range(): the step cannot be zero");
  constexpr size_t kMaxItems = 100'000;  // as in Jinja's sandbox
  List items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (items.size() == kMaxItems) {
      return absl::ResourceExhaustedError(
          absl::StrCat("range(): more than ", kMaxItems, " numbers"));
    }
    items.push_back(Value::OfInt(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  LC_RETURN_IF_ERROR(context.Charge(static_cast<int64_t>(items.size()), 0));
  return context.NewList(std::move(items));
}

// The named arguments over the members of a dict that may come first.
absl::StatusOr<Dict> Members(absl::string_view function, const Arguments& arguments) {
  Dict members;
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    if (arguments.positional.size() > 1 || !from.is_dict()) {
      return absl::InvalidArgumentError(
          absl::StrCat(function, "() takes a dict and named arguments"));
    }
    members = from.dict();
  }
  for (const auto& [name, value] : arguments.named) members.Set(name, value);
  return members;
}

Result MakeNamespace(Context& context, const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(Dict members, Members("namespace", arguments));
  return context.NewNamespace(std::move(members));
}

Result MakeDict(Context& context, const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(Dict members, Members("dict", arguments));
  return context.NewDict(std::move(members));
}

Result RaiseException(Context&, const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("raise_exception", arguments, {"message"}, 1));
  return absl::InvalidArgumentError(
      absl::StrCat("the template refuses the conversation: ", args[0].ToText().text()));
}

Result StrftimeNow(Context& context, const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("strftime_now", arguments, {"format"}, 1));
  LC_ASSIGN_OR_RETURN(const std::string format, TextOr(args[0], "", "strftime_now"));
  if (format.size() > 1000) return absl::InvalidArgumentError("strftime_now(): too long a format");
  return Value::OfText(absl::FormatTime(format, context.clock().Now(), absl::LocalTimeZone()));
}

}  // namespace

void SetBuiltinFunctions(Scope& globals) {
  const std::pair<absl::string_view, Function> functions[] = {
      {"range", &Range},
      {"namespace", &MakeNamespace},
      {"dict", &MakeDict},
      {"raise_exception", &RaiseException},
      {"strftime_now", &StrftimeNow},
  };
  for (const auto& [name, function] : functions) {
    auto callable = std::make_shared<Callable>();
    callable->name = std::string(name);
    callable->call = function;
    globals.Set(name, Value(Value::Holder(Value::Function(std::move(callable)))));
  }
}

}  // namespace layercake::jinja
