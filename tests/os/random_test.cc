#include "core/os/random.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include <gtest/gtest.h>

namespace mobula::os {
namespace {

TEST(Random, IdsDifferAndHaveIndexZero) {
  const auto a = random_id<base::NodeId>();
  const auto b = random_id<base::NodeId>();
  EXPECT_NE(a, b);
  EXPECT_EQ(a.index(), 0u);
}

TEST(Random, DiffersInAForkedChild) {
  std::array<int, 2> fds{};
  ASSERT_EQ(::pipe(fds.data()), 0);
  const pid_t child = ::fork();
  const auto id = random_id<base::NodeId>();
  if (child == 0) {
    [[maybe_unused]] const auto n = ::write(fds[1], id.words.data(), base::NodeId::kBytes);
    ::_exit(0);
  }
  base::NodeId theirs;
  EXPECT_EQ(::read(fds[0], theirs.words.data(), base::NodeId::kBytes), static_cast<ssize_t>(base::NodeId::kBytes));
  EXPECT_NE(theirs, id);
  ::waitpid(child, nullptr, 0);
  ::close(fds[0]);
  ::close(fds[1]);
}

}  // namespace
}  // namespace mobula::os
