// Drivers and clusters that are killed: what users see, how soon, and that nothing stays.
#include <chrono>
#include <csignal>
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/child_driver.h"
#include "tests/e2e/control_group.h"
#include "tests/e2e/deaths.h"

namespace mobula::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(Deaths, a_killed_driver_takes_everything_with_it) {
  for (const char* nodes : {"MOBULA_NODES=1", "MOBULA_NODES=4"}) {
    ChildDriver driver("busy", {nodes});
    ASSERT_TRUE(driver.wait_for("ready", 20s)) << driver.output();
    ::kill(driver.pid(), SIGKILL);
    EXPECT_EQ(driver.wait_exit(5s), 1000 + SIGKILL);
    EXPECT_THAT(leftovers(), IsEmpty()) << nodes;
  }
}

TEST_F(Deaths, a_dead_gcs_is_an_error_within_five_seconds_and_the_end) {
  for (const char* nodes : {"MOBULA_NODES=1", "MOBULA_NODES=4"}) {
    ChildDriver driver("busy", {nodes});
    ASSERT_TRUE(driver.wait_for("ready", 20s)) << driver.output();
    const auto gcs = with_role(leaks_.processes(), "gcs");
    ASSERT_EQ(gcs.size(), 1u);
    ::kill(gcs[0], SIGKILL);
    EXPECT_TRUE(driver.wait_for("cluster down", 5s)) << driver.output();
    EXPECT_EQ(driver.wait_exit(15s), 0) << driver.output();
    EXPECT_THAT(leftovers(), IsEmpty()) << nodes;
  }
}

// As one whose host has lost its power or its cable: nothing closes, and no answer comes.
TEST_F(Deaths, a_gcs_that_falls_silent_is_dead_after_five_seconds) {
  ChildDriver driver("busy", {"MOBULA_NODES=2"});
  ASSERT_TRUE(driver.wait_for("ready", 20s)) << driver.output();
  const auto gcs = with_role(leaks_.processes(), "gcs");
  ASSERT_EQ(gcs.size(), 1u);
  ::kill(gcs[0], SIGSTOP);
  EXPECT_FALSE(driver.wait_for("cluster down", 3500ms)) << "a pause is not a death\n" << driver.output();
  EXPECT_TRUE(driver.wait_for("cluster down", 2s)) << driver.output();
  EXPECT_EQ(driver.wait_exit(15s), 0) << driver.output();
  EXPECT_THAT(driver.output(), HasSubstr("it has not answered for 4.5 s"));
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Deaths, a_dead_raylet_of_the_drivers_node_is_the_end_too) {
  ChildDriver driver("busy");
  ASSERT_TRUE(driver.wait_for("ready", 20s)) << driver.output();
  const auto raylets = with_role(leaks_.processes(), "raylet");
  ASSERT_EQ(raylets.size(), 1u);
  ::kill(raylets[0], SIGKILL);
  EXPECT_TRUE(driver.wait_for("cluster down", 5s)) << driver.output();
  EXPECT_EQ(driver.wait_exit(15s), 0) << driver.output();
  EXPECT_THAT(leftovers(), IsEmpty());
}

class LostNode : public Deaths, public ::testing::WithParamInterface<const char*> {};

TEST_P(LostNode, its_work_ends_in_errors_and_the_rest_goes_on) {
  ChildDriver driver("lose_node", {"MOBULA_NODES=4", GetParam()});
  EXPECT_EQ(driver.wait_exit(90s), 0) << driver.output();
  const std::string& out = driver.output();
  EXPECT_THAT(out, HasSubstr("\nretried task: value"));
  EXPECT_THAT(out, HasSubstr("\nrestarted actor: value"));
  EXPECT_THAT(out, HasSubstr("\nlater call: 3"));  // ActorDied.
  EXPECT_THAT(out, HasSubstr("\nactor call: 3"));
  EXPECT_THAT(out, HasSubstr("task: 5"));           // NodeDied.
  EXPECT_THAT(out, HasSubstr("\nobject: 6"));       // ObjectLost.
  EXPECT_THAT(out, HasSubstr("\nonly there: 12"));  // Unschedulable.
  EXPECT_THAT(leftovers(), IsEmpty());
}
INSTANTIATE_TEST_SUITE_P(Links, LostNode, ::testing::Values("MOBULA_NODE_LINK=shm", "MOBULA_NODE_LINK=sock"),
                         [](const auto& info) { return std::string(info.param).substr(17); });

// Its workers run on, unheard: the GCS misses its heartbeats, and the node is fenced.
TEST_F(Deaths, a_node_that_stands_still_is_lost_within_twenty_seconds) {
  ChildDriver driver("stop_node", {"MOBULA_NODES=4"});
  ASSERT_TRUE(driver.wait_for("errors after", 60s)) << driver.output();
  EXPECT_EQ(driver.wait_exit(60s), 0) << driver.output();
  const std::string& out = driver.output();
  EXPECT_LT(std::atoi(out.c_str() + out.find("errors after ") + 13), 20'000);
  EXPECT_THAT(out, HasSubstr("task: 5"));
  EXPECT_THAT(out, HasSubstr("\nactor call: 3"));
  EXPECT_THAT(out, HasSubstr("\nretried task: value"));
  EXPECT_THAT(out, HasSubstr("\nrestarted actor: value"));
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Deaths, a_worker_that_stands_still_can_be_waited_for_and_killed) {
  ChildDriver driver("stop_worker");
  EXPECT_EQ(driver.wait_exit(60s), 0) << driver.output();
  EXPECT_THAT(driver.output(), HasSubstr("stopped: 11"));  // Timeout.
  EXPECT_THAT(driver.output(), HasSubstr("going on: value"));
  EXPECT_THAT(driver.output(), HasSubstr("killed: 3"));
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Deaths, too_few_descriptors_to_start_are_a_clear_error) {
  for (const int limit : {8, 12, 16, 20}) {
    ChildDriver driver("few_descriptors", {}, limit_descriptors(limit));
    const int code = driver.wait_exit(40s);
    EXPECT_TRUE(code == 3 || code == 0) << limit << ": exit " << code << "\n" << driver.output();
    EXPECT_THAT(driver.output(), HasSubstr(code == 3 ? "init failed: " : " values of 40")) << limit;
    EXPECT_THAT(leftovers(), IsEmpty()) << limit;
  }
}

TEST_F(Deaths, a_limit_that_lets_no_cluster_start_is_named_with_its_remedy) {
  for (const auto& [prepare, text] : {std::pair(limit_descriptors(24), "ulimit -n 4096"),
                                      std::pair(limit_addresses(1u << 30), "ulimit -v unlimited")}) {
    ChildDriver driver("a_bit_of_all", {}, prepare);
    EXPECT_EQ(driver.wait_exit(30s), 3) << driver.output();
    EXPECT_THAT(driver.output(), HasSubstr(text));
    EXPECT_THAT(leftovers(), IsEmpty());
  }
}

TEST_F(Deaths, with_few_descriptors_fewer_workers_run_at_once) {
  ChildDriver driver("few_descriptors", {}, limit_descriptors(64));
  EXPECT_EQ(driver.wait_exit(60s), 0) << driver.output();
  EXPECT_THAT(driver.output(), HasSubstr("40 values of 40"));
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Deaths, with_few_descriptors_actors_without_a_worker_are_errors_that_name_the_limit) {
  ChildDriver driver("actors_without_room", {}, limit_descriptors(64));
  EXPECT_EQ(driver.wait_exit(90s), 0) << driver.output();
  EXPECT_THAT(driver.output(), Not(HasSubstr(" 0 errors")));
  EXPECT_THAT(driver.output(), Not(HasSubstr("\n0 values")));
  EXPECT_THAT(driver.output(), HasSubstr("of 64 file descriptors in use (ulimit -n)"));
  EXPECT_THAT(driver.output(), HasSubstr("starts failed in a row within"));
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Deaths, with_few_processes_actors_without_a_worker_are_errors_that_name_the_limit) {
  ControlGroup group(ControlGroup::Limit::kProcesses, 60);
  if (group.path().empty()) GTEST_SKIP() << "NOT TESTED, no group with a limit on processes: " << group.why_not();
  ChildDriver driver("actors_without_room", {}, [&group] { group.enter(); });
  EXPECT_EQ(driver.wait_exit(90s), 0) << driver.output();
  EXPECT_THAT(driver.output(), Not(HasSubstr(" 0 errors")));
  EXPECT_THAT(driver.output(), HasSubstr("of 60 processes and threads in use (" + group.path()));
  EXPECT_THAT(driver.output(), HasSubstr("starts failed in a row within"));
  EXPECT_THAT(leftovers(), IsEmpty());
  EXPECT_TRUE(group.remove());
}

TEST_F(Deaths, what_the_kernel_kills_for_want_of_memory_is_out_of_memory_with_numbers) {
  ControlGroup group(ControlGroup::Limit::kMemoryBytes, 384u << 20);
  if (group.path().empty()) GTEST_SKIP() << "NOT TESTED, no group with a limit on memory: " << group.why_not();
  ChildDriver driver("out_of_memory", {"MOBULA_STORE_BYTES=32MiB", "MOBULA_MEMORY_MONITOR=0"},
                     [&group] { group.enter(); });
  EXPECT_EQ(driver.wait_exit(90s), 0) << driver.output();
  const std::string& out = driver.output();
  EXPECT_THAT(out, HasSubstr("\nactor: OutOfMemory: "));
  EXPECT_THAT(out, HasSubstr("task: OutOfMemory: "));
  EXPECT_THAT(out, HasSubstr("memory limit is 384 MiB"));
  EXPECT_THAT(out, HasSubstr("MiB resident at most"));
  EXPECT_THAT(out, HasSubstr("\nretried: 2"));
  EXPECT_THAT(out, HasSubstr("\nkilled by hand: WorkerDied: "));
  EXPECT_THAT(leftovers(), IsEmpty());
  EXPECT_TRUE(group.remove());
}

TEST_F(Deaths, the_raylet_ends_a_worker_before_the_kernel_does_and_says_the_numbers) {
  ControlGroup group(ControlGroup::Limit::kMemoryBytes, 512u << 20);
  if (group.path().empty()) GTEST_SKIP() << "NOT TESTED, no group with a limit on memory: " << group.why_not();
  ChildDriver driver("memory_monitor", {"MOBULA_STORE_BYTES=32MiB", "MOBULA_MEMORY_MONITOR=75"},
                     [&group] { group.enter(); });
  EXPECT_EQ(driver.wait_exit(90s), 0) << driver.output();
  const std::string& out = driver.output();
  EXPECT_THAT(out, HasSubstr("task: OutOfMemory: "));
  EXPECT_THAT(out, HasSubstr("the memory was nearly full: "));
  EXPECT_THAT(out, HasSubstr(" of 512 MiB were in use (memory_monitor = 75); it held "));
  EXPECT_THAT(out, HasSubstr("\nretried: 2"));
  EXPECT_THAT(out, HasSubstr("\nactor: OutOfMemory: "));
  EXPECT_THAT(out, HasSubstr("\nretried beside it: 2"));
  EXPECT_THAT(out, Not(HasSubstr("OOM killer"))) << "the kernel came first";
  EXPECT_THAT(leftovers(), IsEmpty());
  EXPECT_TRUE(group.remove());
}

TEST_F(Deaths, a_million_tasks_are_queued_and_run) {
  ChildDriver driver("a_million");
  EXPECT_EQ(driver.wait_exit(100s), 0) << driver.output();
  std::printf("%s", driver.output().c_str());
  EXPECT_THAT(leftovers(), IsEmpty());
}

}  // namespace
}  // namespace mobula::testing
