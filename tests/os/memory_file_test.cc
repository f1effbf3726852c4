#include "core/os/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

namespace mobula::os {
namespace {

using base::Code;

TEST(MemoryFile, CannotShrinkOrGrow) {
  const auto file = make_memory_file("test", 2 * page_size());
  ASSERT_TRUE(file);
  EXPECT_NE(::ftruncate(file->get(), 0), 0);
  EXPECT_EQ(errno, EPERM);
  EXPECT_NE(::ftruncate(file->get(), 1 << 20), 0);
  EXPECT_NE(::fcntl(file->get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
}

TEST(MemoryFile, IsSharedByItsMappings) {
  const auto file = make_memory_file("test", 3 * page_size());
  ASSERT_TRUE(file);
  const auto writer = map_file(*file, page_size(), page_size(), Access::kReadWrite);
  const auto reader = map_file(*file, 0, 3 * page_size(), Access::kReadOnly);
  ASSERT_TRUE(writer);
  ASSERT_TRUE(reader);
  std::memcpy(writer->data(), "hello", 6);
  EXPECT_STREQ(reinterpret_cast<const char*>(reader->data() + page_size()), "hello");
}

TEST(MemoryFile, IsNotMappedBeyondItsEnd) {
  const auto file = make_memory_file("test", page_size());
  ASSERT_TRUE(file);
  EXPECT_FALSE(map_file(*file, 0, page_size() + 1, Access::kReadOnly));
  EXPECT_FALSE(map_file(*file, page_size(), page_size(), Access::kReadOnly));
  EXPECT_FALSE(map_file(*file, 1, 10, Access::kReadOnly));
  EXPECT_FALSE(map_file(*file, 0, 0, Access::kReadOnly));
  constexpr auto kHuge = std::numeric_limits<std::size_t>::max();
  EXPECT_FALSE(map_file(*file, kHuge - page_size() + 1, page_size(), Access::kReadOnly));
}

TEST(MemoryFile, HasItsPagesOnceTheyAreReserved) {
  const auto file = make_memory_file("test", 64 * page_size());
  ASSERT_TRUE(file);
  struct stat info {};
  ASSERT_EQ(::fstat(file->get(), &info), 0);
  EXPECT_EQ(info.st_blocks, 0);
  ASSERT_TRUE(reserve(*file, 0, 32 * page_size()));
  ASSERT_EQ(::fstat(file->get(), &info), 0);
  EXPECT_EQ(static_cast<std::size_t>(info.st_blocks) * 512, 32 * page_size());
}

TEST(MemoryFile, RefusesAReservationLargerThanTheMachineWithTheNumbers) {
  constexpr std::size_t kSize = std::size_t{1} << 46;
  const auto file = make_memory_file("test", kSize);
  ASSERT_TRUE(file);
  const auto result = reserve(*file, 0, kSize);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kExhausted);
  EXPECT_NE(result.error().what.find("67108864 MiB"), std::string::npos) << result.error().what;
}

TEST(MemoryFile, RefusesToReserveBeyondItsEnd) {
  const auto file = make_memory_file("test", page_size());
  ASSERT_TRUE(file);
  EXPECT_FALSE(reserve(*file, page_size(), page_size()));
}

TEST(MemoryFile, IsClosedOnExec) {
  const auto file = make_memory_file("test", page_size());
  ASSERT_TRUE(file);
  EXPECT_NE(::fcntl(file->get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(file->duplicate().get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Mapping, GivesItsPagesAwayWhenMoved) {
  const auto file = make_memory_file("test", page_size());
  ASSERT_TRUE(file);
  auto first = map_file(*file, 0, page_size(), Access::kReadWrite);
  ASSERT_TRUE(first);
  Mapping second = std::move(*first);
  EXPECT_FALSE(first->valid());
  second.data()[0] = std::byte{1};
  Mapping third;
  third = std::move(second);
  EXPECT_EQ(third.data()[0], std::byte{1});
}

}  // namespace
}  // namespace mobula::os
