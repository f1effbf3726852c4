#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>

#include <gtest/gtest.h>

#include "core/cluster/launch.h"
#include "core/os/event_loop.h"
#include "core/os/process.h"

namespace mobula::cluster {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);

// Forks a child that reads its SIGTERM from a descriptor, as raylets do, and returns once it holds them back.  It runs
// `serve`, which gets the descriptor, and says by a byte on `said` that it ends by itself.
class Child {
 public:
  explicit Child(const std::function<void(int)>& serve) {
    std::array<int, 2> said{}, ready{};
    EXPECT_EQ(::pipe(said.data()), 0);
    EXPECT_EQ(::pipe(ready.data()), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setpgid(0, 0);
      sigset_t term;
      sigemptyset(&term);
      sigaddset(&term, SIGTERM);
      ::sigprocmask(SIG_BLOCK, &term, nullptr);
      const int fd = ::signalfd(-1, &term, SFD_CLOEXEC);
      (void)!::write(ready[1], "r", 1);
      serve(fd);
      (void)!::write(said[1], "e", 1);
      ::_exit(0);
    }
    ::close(said[1]);
    ::close(ready[1]);
    said_ = os::Fd(said[0]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
    children_.push_back({pid, "child", os::open_pidfd(pid)});
  }
  void end(base::Duration patience) { end_children(children_, patience); }
  bool ended_by_itself() const {
    char byte = 0;
    return ::read(said_.get(), &byte, 1) == 1;
  }

 private:
  std::vector<Launch::Child> children_;
  os::Fd said_;
};

void take(int fd) {
  signalfd_siginfo info{};
  (void)!::read(fd, &info, sizeof info);
}

// While a child starts, its signals wait, and two are one: a batch system's hides its owner's.
TEST(EndChildren, a_child_that_takes_the_first_signal_for_anothers_hears_the_next) {
  Child child([](int fd) {
    take(fd);  // As one of a batch system.
    take(fd);
  });
  const base::Time began = os::now();
  child.end(kPatience);
  EXPECT_TRUE(child.ended_by_itself());
  EXPECT_LT(os::now() - began, kPatience);
}

TEST(EndChildren, a_child_that_hears_nothing_is_killed_when_patience_is_over) {
  Child child([](int) {
    for (;;) ::pause();
  });
  child.end(std::chrono::milliseconds(150));
  EXPECT_FALSE(child.ended_by_itself());
}

}  // namespace
}  // namespace mobula::cluster
