#pragma once

// GoogleTest matchers for absl::Status and absl::StatusOr.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/status_macros.h"

namespace layercake {

inline const absl::Status& GetStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& statusor) {
  return statusor.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << GetStatus(arg);
  return GetStatus(arg).ok();
}

// StatusIs(absl::StatusCode::kNotFound, HasSubstr("config.json"))
MATCHER_P2(StatusIs, code, message, "") {
  *result_listener << GetStatus(arg);
  return GetStatus(arg).code() == code &&
         ::testing::ExplainMatchResult(message, std::string(GetStatus(arg).message()),
                                       result_listener);
}
template <typename Code>
auto StatusIs(Code code) {
  return StatusIs(code, ::testing::_);
}

#define EXPECT_OK(expr) EXPECT_THAT((expr), ::layercake::IsOk())
#define ASSERT_OK(expr) ASSERT_THAT((expr), ::layercake::IsOk())
#define LC_ASSERT_OK_AND_ASSIGN(lhs, expr) \
  LC_ASSERT_OK_AND_ASSIGN_IMPL_(LC_CONCAT_(lc_assert_, __LINE__), lhs, expr)
#define LC_ASSERT_OK_AND_ASSIGN_IMPL_(statusor, lhs, expr) \
  auto statusor = (expr);                                  \
  ASSERT_TRUE(statusor.ok()) << statusor.status();         \
  lhs = *std::move(statusor)

}  // namespace layercake
