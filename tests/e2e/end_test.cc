// How sessions end: by Ctrl-C, and in order, with what actors do then.
#include <pty.h>
#include <unistd.h>
#include <utmp.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/child_driver.h"
#include "tests/e2e/deaths.h"

namespace mobula::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Ends : public Deaths {
 protected:
  ~Ends() override { std::filesystem::remove(diary()); }
  std::string diary() const { return leaks_.directory() + "/gate-diary"; }  // Not the driver's to remove.
  std::string diary_variable() const { return "MOBULA_TEST_DIARY=" + diary(); }
  std::string read_diary() const {
    std::ifstream file(diary());
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Where the text says it: "ready PATH".
  static std::string gate_of(const std::string& output) {
    const auto at = output.find("ready ") + 6;
    return output.substr(at, output.find_first_of("\r\n", at) - at);
  }
  static void open_gate(const std::string& output) { std::ofstream(gate_of(output) + "/open"); }
};

class Interrupt : public Ends {};

TEST_F(Interrupt, lets_what_runs_end_begins_nothing_and_ends_the_driver_by_the_signal) {
  ChildDriver driver("interrupted", {"MOBULA_CPUS_PER_NODE=2", diary_variable()});
  ASSERT_TRUE(driver.wait_for("ready ", 20s) && driver.wait_for("\n", 1s)) << driver.output();
  ::kill(driver.pid(), SIGINT);
  ASSERT_TRUE(driver.wait_for("interrupted: 3 calls under way", 5s)) << driver.output();
  open_gate(driver.output());
  EXPECT_EQ(driver.wait_exit(8s), 1000 + SIGINT) << driver.output();
  EXPECT_THAT(driver.output(), HasSubstr("task 0 has ended"));
  EXPECT_THAT(driver.output(), HasSubstr("task 1 has ended"));
  EXPECT_THAT(driver.output(), Not(HasSubstr("task 2 has ended")));
  EXPECT_THAT(driver.output(), Not(HasSubstr("FAILED")));
  EXPECT_EQ(read_diary(), "held closed");
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Interrupt, leaves_nothing_at_any_moment_of_the_start) {
  for (int ms = 0; ms < 80; ms += 4) {
    const int number = ms % 8 == 0 ? SIGINT : SIGTERM;
    ChildDriver driver("a_bit_of_all");
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    ::kill(driver.pid(), number);
    EXPECT_THAT(driver.wait_exit(20s), ::testing::AnyOf(0, 1000 + number)) << ms << " ms\n" << driver.output();
    EXPECT_THAT(leftovers(), IsEmpty()) << ms << " ms";
  }
}

// What a terminal does: the signal goes to the whole group in its foreground.
TEST_F(Interrupt, at_a_terminal_does_the_same) {
  int terminal = -1;
  int side = -1;
  ASSERT_EQ(::openpty(&terminal, &side, nullptr, nullptr, nullptr), 0);
  ChildDriver driver(
      "interrupted", {"MOBULA_CPUS_PER_NODE=2", diary_variable()},
      [side] {
        if (::login_tty(::dup(side)) != 0) ::_exit(126);
      },
      ChildDriver::Output::kOwn);
  ::close(side);
  std::string shown;
  ASSERT_TRUE(read_until(terminal, shown, "ready ", 20s) && read_until(terminal, shown, "\n", 1s)) << shown;
  const std::string ready = shown;
  ASSERT_EQ(::write(terminal, "\x03", 1), 1);
  ASSERT_TRUE(read_until(terminal, shown, "interrupted: 3 calls under way", 5s)) << shown;
  open_gate(ready);
  ASSERT_TRUE(read_until(terminal, shown, "task 0 has ended", 5s)) << shown;
  ASSERT_TRUE(read_until(terminal, shown, "task 1 has ended", 5s)) << shown;
  EXPECT_EQ(driver.wait_exit(8s), 1000 + SIGINT) << shown;
  ::close(terminal);
  EXPECT_EQ(read_diary(), "held closed");
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Interrupt, gives_up_what_does_not_end_in_time) {
  ChildDriver driver("busy", {"MOBULA_INTERRUPT_GRACE_S=0.5"});
  ASSERT_TRUE(driver.wait_for("ready", 20s)) << driver.output();
  ::kill(driver.pid(), SIGINT);
  EXPECT_EQ(driver.wait_exit(8s), 1000 + SIGINT) << driver.output();
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Interrupt, the_second_forces_what_the_first_lets_end) {
  ChildDriver driver("busy");
  ASSERT_TRUE(driver.wait_for("ready", 20s)) << driver.output();
  ::kill(driver.pid(), SIGINT);
  ASSERT_TRUE(driver.wait_for("Ctrl-C again ends at once", 5s)) << driver.output();
  ::kill(driver.pid(), SIGINT);
  EXPECT_EQ(driver.wait_exit(2s), 1000 + SIGINT) << driver.output();
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Interrupt, the_second_forces_what_the_first_cannot_end) {
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

TEST_F(Interrupt, ends_a_program_whose_cluster_has_gone) {
  ChildDriver driver("outlives_its_cluster");
  ASSERT_TRUE(driver.wait_for("ready", 20s)) << driver.output();
  const auto gcs = with_role(leaks_.processes(), "gcs");
  ASSERT_EQ(gcs.size(), 1u);
  ::kill(gcs[0], SIGKILL);
  ASSERT_TRUE(driver.wait_for("the cluster has gone", 5s)) << driver.output();
  ::kill(driver.pid(), SIGINT);
  EXPECT_EQ(driver.wait_exit(5s), 1000 + SIGINT) << driver.output();
  EXPECT_THAT(leftovers(), IsEmpty());
}

// A session serves many workers, so that what each left would fill its directory.
TEST_F(Ends, what_a_killed_worker_listened_on_goes_with_it) {
  ChildDriver driver("goes_through_workers", {"MOBULA_CPUS_PER_NODE=1"});
  ASSERT_TRUE(driver.wait_for("ready", 60s)) << driver.output();
  const auto sockets = [this] {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(leaks_.directory())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("shm-")) out.push_back(name);
    }
    return out;
  };
  // The driver's, the raylet's, and those of some idle workers.
  const auto until = std::chrono::steady_clock::now() + 10s;
  while (sockets().size() > 6 && std::chrono::steady_clock::now() < until) ::usleep(10'000);
  EXPECT_LE(sockets().size(), 6u) << ::testing::PrintToString(sockets());
}

TEST_F(Ends, an_actor_is_destroyed_with_the_session) {
  ChildDriver driver("ends_with_an_actor", {diary_variable()});
  EXPECT_EQ(driver.wait_exit(20s), 0) << driver.output();
  EXPECT_EQ(read_diary(), "7 closed");
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Ends, a_slow_destructor_is_waited_for) {
  ChildDriver driver("ends_with_a_slow_destructor", {diary_variable(), "MOBULA_NODES=2"});
  EXPECT_EQ(driver.wait_exit(20s), 0) << driver.output();
  EXPECT_EQ(read_diary(), "7 closed");
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Ends, an_actor_is_destroyed_when_its_last_handle_has_gone_and_its_calls_have_run) {
  ChildDriver driver("drops_its_actor", {diary_variable()});
  EXPECT_EQ(driver.wait_exit(60s), 0) << driver.output();
  EXPECT_EQ(read_diary(), "1 2 closed");
  EXPECT_THAT(leftovers(), IsEmpty());
}

}  // namespace
}  // namespace mobula::testing
