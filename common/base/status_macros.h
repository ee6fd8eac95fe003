#pragma once

// The one place where "return early on error" is spelled.
//
//   LC_RETURN_IF_ERROR(Open(path));
//   LC_ASSIGN_OR_RETURN(auto file, Open(path));

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define LC_RETURN_IF_ERROR(expr)                                               \
  do {                                                                         \
    if (absl::Status lc_status_ = (expr); !lc_status_.ok()) return lc_status_; \
  } while (0)

#define LC_CONCAT_INNER_(a, b) a##b
#define LC_CONCAT_(a, b) LC_CONCAT_INNER_(a, b)
#define LC_ASSIGN_OR_RETURN(lhs, expr) \
  LC_ASSIGN_OR_RETURN_IMPL_(LC_CONCAT_(lc_statusor_, __LINE__), lhs, expr)
#define LC_ASSIGN_OR_RETURN_IMPL_(statusor, lhs, expr)     \
  auto statusor = (expr);                                  \
  if (!statusor.ok()) return std::move(statusor).status(); \
  lhs = *std::move(statusor)
