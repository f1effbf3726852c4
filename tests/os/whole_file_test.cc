#include "core/os/whole_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/os/temporary_directory.h"

namespace mobula::os {
namespace {

using base::Code;

base::ConstBytes bytes_of(std::string_view text) { return base::as_bytes(text); }
std::string text_of(const std::vector<std::byte>& bytes) {
  return std::string(base::as_string_view(base::ConstBytes(bytes)));
}

TEST(WholeFile, WhatIsWrittenIsReadAndReplaced) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/f";
  ASSERT_TRUE(write_whole_file(path, bytes_of("one")).ok());
  ASSERT_TRUE(write_whole_file(path, bytes_of("another")).ok());
  EXPECT_EQ(text_of(*read_whole_file(path, 100)), "another");
  EXPECT_EQ(list_directory(directory.path()), std::vector<std::string>{"f"});
}

TEST(WholeFile, AFileThatIsMissingLongOrNoFileIsAnError) {
  const TemporaryDirectory directory;
  EXPECT_EQ(read_whole_file(directory.path() + "/none", 100).error().code, Code::kNotFound);
  ASSERT_TRUE(write_whole_file(directory.path() + "/f", bytes_of("12345")).ok());
  EXPECT_EQ(read_whole_file(directory.path() + "/f", 4).error().code, Code::kInvalid);
  EXPECT_EQ(read_whole_file(directory.path(), 100).error().code, Code::kInvalid);
}

TEST(WholeFile, AFailureLeavesWhatWasThere) {
  const TemporaryDirectory directory;
  EXPECT_FALSE(write_whole_file(directory.path() + "/no/f", bytes_of("x")).ok());
  // A directory of that name cannot be replaced by a file.
  ASSERT_TRUE(make_directories(directory.path() + "/d/e").ok());
  EXPECT_FALSE(write_whole_file(directory.path() + "/d", bytes_of("x")).ok());
  EXPECT_EQ(list_directory(directory.path()), std::vector<std::string>{"d"});
}

TEST(WholeFile, DirectoriesAreMadeForThisUserAlone) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/a/b/c";
  ASSERT_TRUE(make_directories(path).ok());
  ASSERT_TRUE(make_directories(path).ok());
  struct stat info {};
  ASSERT_EQ(::stat((directory.path() + "/a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  ASSERT_TRUE(write_whole_file(directory.path() + "/f", bytes_of("x")).ok());
  EXPECT_FALSE(make_directories(directory.path() + "/f/g").ok());
}

}  // namespace
}  // namespace mobula::os
