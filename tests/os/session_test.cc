#include "core/os/session.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/os/temporary_directory.h"

namespace mobula::os {
namespace {

using base::Code;
using base::Result;
using Lifetime = SessionDirectory::Lifetime;

class SessionTest : public testing::Test {
 protected:
  TemporaryDirectory top_;
  std::string root_ = top_.file("sessions");
  ScopedVariable variable_{"MOBULA_TMPDIR", root_};
};

mode_t mode_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

TEST_F(SessionTest, IsOpenToNobodyElse) {
  const auto session = SessionDirectory::create(Lifetime::kRemove);
  ASSERT_TRUE(session) << session.error().what;
  EXPECT_EQ(mode_of(session->path()), 0700u);
  EXPECT_EQ(mode_of(root_), 0700u);
  EXPECT_TRUE(session->path().starts_with(root_ + "/"));
}

TEST_F(SessionTest, GoesWithItsOwnerAndAllThatIsInIt) {
  std::string path;
  {
    const auto session = SessionDirectory::create(Lifetime::kRemove);
    ASSERT_TRUE(session);
    path = session->path();
    std::filesystem::create_directories(session->file("logs/deep"));
    std::ofstream(session->file("logs/deep/file")) << "x";
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(SessionTest, WhatKilledProcessesHaveLeftGoesWithTheNextStart) {
  std::string left;
  std::string held;
  {
    auto session = SessionDirectory::create(Lifetime::kRemove);
    ASSERT_TRUE(session);
    left = session->path();
    std::filesystem::create_directories(session->file("logs"));
    auto other = SessionDirectory::create(Lifetime::kRemove);
    held = other->path();
    // As after a kill: nobody runs the destructor, and the locks are gone.
    std::filesystem::rename(left, root_ + "/kept");
  }
  std::filesystem::rename(root_ + "/kept", left);
  EXPECT_TRUE(std::filesystem::exists(left + "/life"));
  EXPECT_FALSE(std::filesystem::exists(held));
  const auto next = SessionDirectory::create(Lifetime::kRemove);
  ASSERT_TRUE(next);
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_TRUE(std::filesystem::exists(next->path()));
}

TEST_F(SessionTest, OneThatAnyProcessStillHasOpenStays) {
  std::optional<Result<SessionDirectory>> raylet;
  std::string path;
  {
    const auto session = SessionDirectory::create(Lifetime::kRemove);
    ASSERT_TRUE(session);
    path = session->path();
    raylet.emplace(SessionDirectory::open(path));
    ASSERT_TRUE(raylet->ok());
    std::filesystem::rename(path, root_ + "/kept");
  }
  std::filesystem::rename(root_ + "/kept", path);
  ASSERT_TRUE(SessionDirectory::create(Lifetime::kRemove));
  EXPECT_TRUE(std::filesystem::exists(path));
  raylet.reset();
  ASSERT_TRUE(SessionDirectory::create(Lifetime::kRemove));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(SessionTest, StaysWhenItIsToBeKept) {
  std::string path;
  {
    const auto session = SessionDirectory::create(Lifetime::kKeep);
    ASSERT_TRUE(session);
    path = session->path();
  }
  EXPECT_TRUE(SessionDirectory::open(path));
}

TEST_F(SessionTest, RemovalDoesNotFollowLinks) {
  std::filesystem::create_directories(top_.file("precious"));
  std::ofstream(top_.file("precious/file")) << "x";
  {
    const auto session = SessionDirectory::create(Lifetime::kRemove);
    ASSERT_TRUE(session);
    std::filesystem::create_directory_symlink(top_.file("precious"), session->file("link"));
  }
  EXPECT_TRUE(std::filesystem::exists(top_.file("precious/file")));
}

TEST_F(SessionTest, WhatNobodyHoldsIsSweptAndWhatLivesIsNot) {
  const auto alive = SessionDirectory::create(Lifetime::kRemove);
  ASSERT_TRUE(alive);
  std::filesystem::create_directory(root_ + "/s-dead");
  std::ofstream(root_ + "/s-dead/life") << "";
  std::filesystem::create_directory(root_ + "/s-long-lived");  // Of `mobula start`: it has no such file.
  for (const char* name : {"/s-husk", "/s-old"}) {
    std::filesystem::create_directory(root_ + name);
    if (name[3] == 'o') std::ofstream(root_ + name + "/cluster.json") << "";
    std::filesystem::last_write_time(root_ + name,
                                     std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  }
  EXPECT_EQ(*sweep_sessions(root_), 2u);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/s-husk"));
  EXPECT_TRUE(std::filesystem::exists(root_ + "/s-old"));
  EXPECT_FALSE(std::filesystem::exists(root_ + "/s-dead"));
  EXPECT_TRUE(std::filesystem::exists(root_ + "/s-long-lived"));
  EXPECT_TRUE(std::filesystem::exists(alive->path()));
  EXPECT_EQ(sweep_sessions(root_ + "/none").error().code, Code::kNotFound);
  ::chmod(root_.c_str(), 0777);
  EXPECT_EQ(sweep_sessions(root_).error().code, Code::kDenied);
}

TEST_F(SessionTest, IsNotMadeInARootThatOthersMayWriteTo) {
  std::filesystem::create_directory(root_);
  ::chmod(root_.c_str(), 0777);
  const auto session = SessionDirectory::create(Lifetime::kRemove);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::kDenied);
}

TEST_F(SessionTest, IsNotMadeWhereEverybodyMayRenameItsRoot) {
  ::chmod(top_.path().c_str(), 0777);
  const auto session = SessionDirectory::create(Lifetime::kRemove);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::kDenied);
}

TEST_F(SessionTest, IsNotMadeBehindASymbolicLink) {
  std::filesystem::create_directory(top_.file("elsewhere"));
  std::filesystem::create_directory_symlink(top_.file("elsewhere"), root_);
  const auto session = SessionDirectory::create(Lifetime::kRemove);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::kDenied);
}

TEST_F(SessionTest, IsNotMadeInARootOfSomebodyElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  std::filesystem::create_directory(root_);
  ::chmod(root_.c_str(), 0700);
  ASSERT_EQ(::chown(root_.c_str(), 12345, 12345), 0);
  const auto session = SessionDirectory::create(Lifetime::kRemove);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::kDenied);
  EXPECT_NE(session.error().what.find("12345"), std::string::npos) << session.error().what;
}

TEST_F(SessionTest, IsNotOpenedWhenItIsOpenToOthers) {
  const auto session = SessionDirectory::create(Lifetime::kRemove);
  ASSERT_TRUE(session);
  ::chmod(session->path().c_str(), 0750);
  const auto again = SessionDirectory::open(session->path());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kDenied);
  EXPECT_EQ(SessionDirectory::open(root_ + "/none").error().code, Code::kNotFound);
}

TEST(SessionsRoot, PassesOverARuntimeDirectoryThatIsNotThere) {
  const ScopedVariable no_tmpdir("MOBULA_TMPDIR", "");
  const ScopedVariable stale("XDG_RUNTIME_DIR", "/run/user/none");
  EXPECT_EQ(sessions_root(), "/tmp/mobula-" + std::to_string(::geteuid()));
  const TemporaryDirectory runtime;
  const ScopedVariable fresh("XDG_RUNTIME_DIR", runtime.path());
  EXPECT_EQ(sessions_root(), runtime.path() + "/mobula");
}

}  // namespace
}  // namespace mobula::os
