#include "core/base/result.h"

#include <memory>

#include <gtest/gtest.h>

namespace mobula::base {
namespace {

Result<std::unique_ptr<int>> half(int n) {
  if (n % 2 != 0) return Error{Code::kInvalid, std::to_string(n) + " is odd"};
  return std::make_unique<int>(n / 2);
}

TEST(Result, HoldsAValueThatOnlyMoves) {
  auto result = half(4);
  ASSERT_TRUE(result.ok());
  const std::unique_ptr<int> value = *std::move(result);
  EXPECT_EQ(*value, 2);
}

TEST(Result, HoldsTheReasonWhenThereIsNoValue) {
  const auto result = half(3);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kInvalid);
  EXPECT_EQ(result.error().what, "3 is odd");
}

TEST(Result, EveryCodeHasAName) {
  for (int code = 1; code <= static_cast<int>(Code::kDenied); ++code) {
    EXPECT_STRNE(name_of(static_cast<Code>(code)), "unknown") << code;
  }
}

}  // namespace
}  // namespace mobula::base
