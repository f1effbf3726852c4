#include "core/raylet/log_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/leak_check.h"

namespace mobula::testing {
namespace {

namespace fs = std::filesystem;
using base::Code;
using raylet::LogFiles;

class LogFilesTest : public ::testing::Test {
 protected:
  LogFilesTest() { fs::create_directory(directory_); }
  void write(const std::string& name, const std::string& text) { std::ofstream(directory_ + "/" + name) << text; }
  base::Result<proto::LogPiece> ask(const std::string& file, std::uint64_t offset, std::uint32_t size,
                                    std::uint32_t tail = 0) {
    proto::LogQuery query;
    query.set_file(file);
    query.set_offset(offset);
    query.set_size(size);
    query.set_tail_lines(tail);
    return files_.answer(query);
  }
  std::string tail(const std::string& file, std::uint32_t lines) {
    const auto begin = ask(file, 0, 0, lines);
    return begin ? ask(file, begin->offset(), 1000)->data() : begin.error().what;
  }

  LeakCheck leaks_;
  const std::string directory_ = leaks_.directory() + "/logs";
  LogFiles files_{directory_, [](proto::LogFile& file) { file.set_worker("of " + file.name()); }};
};

TEST_F(LogFilesTest, the_list_has_plain_files_and_whose_they_are) {
  write("b.log", "123");
  write("a.log", "1");
  write(".hidden", "1");
  fs::create_directory(directory_ + "/c");
  fs::create_symlink("/etc/passwd", directory_ + "/d");
  ::mkfifo((directory_ + "/e").c_str(), 0600);
  const auto list = ask("", 0, 0);
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->files_size(), 2);
  EXPECT_EQ(list->files(0).name(), "a.log");
  EXPECT_EQ(list->files(1).bytes(), 3u);
  EXPECT_EQ(list->files(1).worker(), "of b.log");
}

TEST_F(LogFilesTest, a_name_cannot_leave_the_directory) {
  write("a.log", "inside");
  std::ofstream(leaks_.directory() + "/outside") << "outside";
  fs::create_symlink(leaks_.directory() + "/outside", directory_ + "/link");
  fs::create_directory(directory_ + "/inner");
  ::mkfifo((directory_ + "/fifo").c_str(), 0600);
  for (const std::string& name :
       {std::string("../outside"), leaks_.directory() + "/outside", std::string(".."), std::string("."),
        std::string("link"), std::string("inner"), std::string("inner/../a.log"), std::string("fifo"),
        std::string("a.log\0x", 7), std::string(5000, 'a')}) {
    for (const std::uint32_t size : {0u, 10u}) {
      const auto answer = ask(name, 0, size, 1);
      ASSERT_FALSE(answer.ok()) << name;
      EXPECT_EQ(answer.error().code, Code::kInvalid) << name;
    }
  }
  EXPECT_EQ(ask("no-such.log", 0, 10).error().code, Code::kNotFound);
}

TEST_F(LogFilesTest, pieces_are_bounded_and_the_end_is_an_empty_one) {
  write("a.log", "0123456789");
  EXPECT_EQ(ask("a.log", 3, 4)->data(), "3456");
  EXPECT_EQ(ask("a.log", 8, 100)->data(), "89");
  EXPECT_EQ(ask("a.log", 10, 100)->data(), "");
  EXPECT_EQ(ask("a.log", ~std::uint64_t{0}, 100)->data(), "");
  EXPECT_FALSE(ask("a.log", 0, LogFiles::kPieceBytesMax + 1).ok());
}

TEST_F(LogFilesTest, the_tail_begins_at_a_line) {
  write("a.log", "1\n2\n3\n");
  EXPECT_EQ(tail("a.log", 1), "3\n");
  EXPECT_EQ(tail("a.log", 2), "2\n3\n");
  EXPECT_EQ(tail("a.log", 9), "1\n2\n3\n");
  write("b.log", "1\n2\nunfinished");
  EXPECT_EQ(tail("b.log", 1), "unfinished");
  write("empty.log", "");
  EXPECT_EQ(tail("empty.log", 3), "");
  write("long.log", "first\n" + std::string(200'000, 'x') + "\nlast\n");
  EXPECT_EQ(ask("long.log", 0, 0, 2)->offset(), 6u);
}

}  // namespace
}  // namespace mobula::testing
