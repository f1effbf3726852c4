#include "mobula/dlpack.h"

#include <numeric>

#include <gtest/gtest.h>

#include "mobula/mobula.h"
#include "tests/api/local_runtime.h"

namespace mobula {
namespace {

TEST(Dlpack, SharesAnArrayBothWays) {
  tests::LocalSession session;
  auto made = alloc<float>(4, 6);
  std::iota(made.mut().begin(), made.mut().end(), 0.f);
  const float* data = made.data();
  DLManagedTensor* tensor = to_dlpack(made.slice(1, 3, 1));
  made = {};  // The tensor keeps the memory.
  EXPECT_EQ(tensor->dl_tensor.shape[1], 2);
  EXPECT_EQ(tensor->dl_tensor.strides[0], 6);
  const auto back = from_dlpack<float, 2>(tensor);
  EXPECT_EQ(back.data(), data + 1);
  EXPECT_EQ(back(3, 1), 20.f);
  EXPECT_TRUE(back.sealed());
}

TEST(Dlpack, RefusesWhatDoesNotFit) {
  tests::LocalSession session;
  DLManagedTensor* tensor = to_dlpack(alloc<std::int32_t>(3));
  EXPECT_THROW((static_cast<void>(from_dlpack<std::int32_t, 2>(tensor))), InvalidArgument);
  EXPECT_THROW(static_cast<void>(from_dlpack<float>(tensor)), InvalidArgument);
  tensor->deleter(tensor);
}

}  // namespace
}  // namespace mobula
