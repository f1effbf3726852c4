#include "core/os/secret.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "tests/os/temporary_directory.h"

namespace mobula::os {
namespace {

using base::Code;

TEST(Secret, IsDifferentEachTime) {
  const auto a = Secret::generate();
  const auto b = Secret::generate();
  EXPECT_FALSE(a.equals(b.view()));
  EXPECT_TRUE(a.equals(a.view()));
  EXPECT_FALSE(a.equals(a.view().first(31)));
}

TEST(Secret, IsKeptOutOfCoreDumps) {
  const auto secret = Secret::generate();
  const auto address = reinterpret_cast<std::uintptr_t>(secret.view().data());
  std::ifstream smaps("/proc/self/smaps");
  bool inside = false;
  std::string flags;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) inside = from <= address && address < to;
    if (inside && line.starts_with("VmFlags:")) flags = line;
  }
  EXPECT_NE(flags.find(" dd"), std::string::npos) << flags;
}

TEST(Secret, IsHandedToSeveralChildrenByOneDescriptor) {
  const auto secret = Secret::generate();
  const auto file = secret.to_memory_file();
  ASSERT_TRUE(file);
  EXPECT_NE(::ftruncate(file->get(), 0), 0);
  for (int i = 0; i < 2; ++i) {
    const auto copy = Secret::from_fd(*file);
    ASSERT_TRUE(copy);
    EXPECT_TRUE(copy->equals(secret.view()));
  }
}

TEST(Secret, ComesThroughAPipe) {
  std::array<int, 2> fds{};
  ASSERT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
  const Fd read(fds[0]);
  Fd write(fds[1]);
  const auto secret = Secret::generate();
  ASSERT_EQ(::write(write.get(), secret.view().data(), Secret::kBytes), static_cast<ssize_t>(Secret::kBytes));
  EXPECT_TRUE(Secret::from_fd(read)->equals(secret.view()));
  ASSERT_EQ(::write(write.get(), "short", 5), 5);
  write.reset();
  EXPECT_EQ(Secret::from_fd(read).error().code, Code::kInvalid);
}

TEST(Secret, IsInheritedByFork) {
  const auto secret = Secret::generate();
  const std::string before(base::as_string_view(secret.view()));
  const pid_t child = ::fork();
  if (child == 0) ::_exit(secret.equals(base::as_bytes(before)) ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Secret, LivesInAFileThatOnlyItsOwnerMayRead) {
  const TemporaryDirectory directory;
  const auto path = directory.file("key");
  const auto secret = Secret::generate();
  ASSERT_TRUE(secret.write_file(path));
  EXPECT_FALSE(secret.write_file(path));
  const auto copy = Secret::read_file(path);
  ASSERT_TRUE(copy) << copy.error().what;
  EXPECT_TRUE(copy->equals(secret.view()));

  ::chmod(path.c_str(), 0640);
  EXPECT_EQ(Secret::read_file(path).error().code, Code::kDenied);
  ::chmod(path.c_str(), 0600);
  std::filesystem::create_symlink(path, directory.file("link"));
  EXPECT_EQ(Secret::read_file(directory.file("link")).error().code, Code::kDenied);
  std::ofstream(path, std::ios::app) << "more";
  EXPECT_EQ(Secret::read_file(path).error().code, Code::kInvalid);
}

TEST(Secret, IsNotReadFromAFileOfSomebodyElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const TemporaryDirectory directory;
  ASSERT_TRUE(Secret::generate().write_file(directory.file("key")));
  ASSERT_EQ(::chown(directory.file("key").c_str(), 12345, 12345), 0);
  EXPECT_EQ(Secret::read_file(directory.file("key")).error().code, Code::kDenied);
}

}  // namespace
}  // namespace mobula::os
