#include "core/worker/local_object.h"

#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace mobula::runtime {

// What globals.cc says for objects that nobody else knows of.
void detail::last_reference_dropped(ObjectState* state) noexcept { delete static_cast<LocalObject*>(state); }

namespace {

std::vector<std::byte> payload_of(std::size_t meta_bytes) {
  std::vector<std::byte> payload(8 + meta_bytes, std::byte{7});
  const std::uint32_t head[2] = {static_cast<std::uint32_t>(meta_bytes), 0};
  std::memcpy(payload.data(), head, sizeof head);
  return payload;
}

// An actor's handle is such an object; under UBSan it was found to copy from null.
TEST(LocalObject, SettlesToNothingAtAll) {
  const ObjectRef ref(new LocalObject(ObjectId()));
  local(ref).settle_inline({});
  EXPECT_EQ(ref->status(), ObjectStatus::kReady);
  EXPECT_TRUE(ref->view().bytes.empty());
}

TEST(LocalObject, KeepsSmallAndLargePayloadsOfItsOwn) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{64}, LocalObject::kSmallBytes, std::size_t{5000}}) {
    const ObjectRef ref(new LocalObject(ObjectId()));
    {
      const std::vector<std::byte> payload = payload_of(size);
      local(ref).settle_inline(payload);
    }
    const ConstBytes bytes = ref->view().bytes;
    ASSERT_EQ(bytes.size(), 8 + size);
    EXPECT_TRUE(is_well_framed(bytes));
    for (std::size_t i = 8; i < bytes.size(); ++i) ASSERT_EQ(bytes[i], std::byte{7});
  }
}

}  // namespace
}  // namespace mobula::runtime
