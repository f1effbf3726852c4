#include "core/base/bytes.h"

#include <gtest/gtest.h>

namespace mobula::base {
namespace {

TEST(Buffer, HoldsSmallContentsInline) {
  Buffer buffer;
  buffer.extend(Buffer::kInline);
  const auto* at = reinterpret_cast<const std::byte*>(&buffer);
  EXPECT_TRUE(buffer.data() >= at && buffer.data() < at + sizeof buffer);
}

TEST(Buffer, KeepsItsContentsWhenItGrows) {
  Buffer buffer;
  for (std::uint32_t i = 0; i < 1000; ++i) buffer.put(i);
  Cursor in(buffer.view());
  for (std::uint32_t i = 0; i < 1000; ++i) ASSERT_EQ(in.get<std::uint32_t>(), i);
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.left(), 0u);
}

TEST(Buffer, MovesInlineAndHeapContents) {
  for (const std::size_t n : {3u, 5000u}) {
    Buffer from;
    from.append(std::string(n, 'x').data(), n);
    Buffer to(std::move(from));
    EXPECT_EQ(as_string_view(to.view()), std::string(n, 'x'));
    Buffer assigned;
    assigned.append("old", 3);
    assigned = std::move(to);
    EXPECT_EQ(as_string_view(assigned.view()), std::string(n, 'x'));
  }
}

TEST(Buffer, CanBeUsedAgainAfterAMove) {
  Buffer from;
  from.extend(5000);
  const Buffer to(std::move(from));
  from.clear();
  from.append("again", 5);
  EXPECT_EQ(as_string_view(from.view()), "again");
}

TEST(Cursor, ReadsStringsAndNumbersInOrder) {
  Buffer buffer;
  buffer.put_string("name");
  buffer.put(std::uint16_t{7});
  buffer.put_string("");
  Cursor in(buffer.view());
  EXPECT_EQ(in.get_string(), "name");
  EXPECT_EQ(in.get<std::uint16_t>(), 7);
  EXPECT_EQ(in.get_string(), "");
  EXPECT_TRUE(in.ok());
}

TEST(Cursor, StaysBadAfterAReadPastTheEnd) {
  Buffer buffer;
  buffer.put(std::uint32_t{1});
  Cursor in(buffer.view());
  EXPECT_EQ(in.get<std::uint64_t>(), 0u);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.get<std::uint32_t>(), 0u);
  EXPECT_FALSE(in.ok());
}

TEST(Cursor, DoesNotBelieveALengthLargerThanWhatIsLeft) {
  Buffer buffer;
  buffer.put(std::uint32_t{0xffff'ffffu});
  buffer.append("abc", 3);
  Cursor in(buffer.view());
  EXPECT_EQ(in.get_string(), "");
  EXPECT_FALSE(in.ok());
}

}  // namespace
}  // namespace mobula::base
