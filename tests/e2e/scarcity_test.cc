// What users see when others have taken what the machine has, and when they press Ctrl-C.
#include <pty.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utmp.h>

#include <chrono>
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/child_driver.h"
#include "tests/e2e/deaths.h"
#include "tests/e2e/private_mounts.h"

namespace mobula::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Scarcity : public Deaths {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: only root can mount a file system of the test's own";
  }
};

TEST_F(Scarcity, a_full_dev_shm_changes_nothing) {
  for (const char* link : {"MOBULA_NODE_LINK=shm", "MOBULA_NODE_LINK=sock"}) {
    ChildDriver driver("a_bit_of_all", {"MOBULA_NODES=2", link}, mounted("/dev/shm", Tmpfs::kFull));
    EXPECT_EQ(driver.wait_exit(60s), 0) << driver.output();
    EXPECT_THAT(driver.output(), HasSubstr("all is well"));
    EXPECT_THAT(leftovers(), IsEmpty());
  }
}

TEST_F(Scarcity, without_room_for_the_session_init_says_where_and_what_to_do) {
  ChildDriver driver("a_bit_of_all", {}, mounted(leaks_.directory(), Tmpfs::kNoFileMore));
  EXPECT_EQ(driver.wait_exit(30s), 3) << driver.output();
  EXPECT_THAT(driver.output(), HasSubstr("No space left on device"));
  EXPECT_THAT(driver.output(), HasSubstr(leaks_.directory()));
  EXPECT_THAT(driver.output(), HasSubstr("MOBULA_TMPDIR"));
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Scarcity, where_the_session_cannot_be_written_init_says_where_and_what_to_do) {
  ChildDriver driver("a_bit_of_all", {}, mounted(leaks_.directory(), Tmpfs::kReadOnly));
  EXPECT_EQ(driver.wait_exit(30s), 3) << driver.output();
  EXPECT_THAT(driver.output(), HasSubstr("Read-only file system"));
  EXPECT_THAT(driver.output(), HasSubstr(leaks_.directory()));
  EXPECT_THAT(driver.output(), HasSubstr("MOBULA_TMPDIR"));
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Scarcity, a_disk_that_fills_up_takes_log_lines_and_nothing_else) {
  ChildDriver driver("disk_fills_up", {}, mounted(leaks_.directory(), Tmpfs::kSmall));
  EXPECT_EQ(driver.wait_exit(60s), 0) << driver.output();
  EXPECT_THAT(driver.output(), HasSubstr("the disk is full"));
  EXPECT_THAT(driver.output(), HasSubstr("all is well"));
  EXPECT_THAT(leftovers(), IsEmpty());
}

class Interrupt : public Deaths {};

// What a terminal does: the signal goes to the whole group in its foreground.
TEST_F(Interrupt, ctrl_c_at_a_terminal_ends_the_driver_by_the_signal_and_all_of_its_processes) {
  int terminal = -1;
  int side = -1;
  ASSERT_EQ(::openpty(&terminal, &side, nullptr, nullptr, nullptr), 0);
  ChildDriver driver(
      "busy", {},
      [side] {
        if (::login_tty(::dup(side)) != 0) ::_exit(126);
      },
      ChildDriver::Output::kOwn);
  ::close(side);
  std::string shown;
  ASSERT_TRUE(read_until(terminal, shown, "ready", 20s)) << shown;
  ASSERT_EQ(::write(terminal, "\x03", 1), 1);
  EXPECT_EQ(driver.wait_exit(8s), 1000 + SIGINT) << shown;
  ::close(terminal);
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Interrupt, the_second_forces_what_the_first_cannot_drain) {
  ChildDriver driver("busy");
  ASSERT_TRUE(driver.wait_for("ready", 20s)) << driver.output();
  const auto raylets = with_role(leaks_.processes(), "raylet");
  ASSERT_EQ(raylets.size(), 1u);
  ::kill(raylets[0], SIGSTOP);  // It will never answer.
  ::kill(driver.pid(), SIGINT);
  EXPECT_EQ(driver.wait_exit(500ms), -1) << "nothing had to be forced";
  ::kill(driver.pid(), SIGINT);
  EXPECT_EQ(driver.wait_exit(2s), 1000 + SIGINT) << driver.output();
  EXPECT_THAT(leftovers(), IsEmpty());
}

}  // namespace
}  // namespace mobula::testing
