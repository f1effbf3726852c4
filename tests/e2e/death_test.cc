// Drivers and clusters that are killed: what users see, how soon, and that nothing stays.
#include <chrono>
#include <csignal>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/child_driver.h"
#include "tests/support/leak_check.h"

namespace mobula::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Deaths : public ::testing::Test {
 protected:
  // Less the gates of a driver that was killed, which are the test's own.
  std::vector<std::string> leftovers() const {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(leaks_.directory())) {
      if (entry.path().filename().string().starts_with("gate-")) std::filesystem::remove_all(entry.path(), ignored);
    }
    return leaks_.leftovers(5s);
  }
  LeakCheck leaks_;
};

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

TEST_F(Deaths, ctrl_c_ends_the_driver_and_all_of_its_processes) {
  ChildDriver driver("busy");
  ASSERT_TRUE(driver.wait_for("ready", 20s)) << driver.output();
  ::kill(driver.pid(), SIGINT);
  int code = driver.wait_exit(10s);
  if (code == -1) {
    ::kill(driver.pid(), SIGINT);
    code = driver.wait_exit(5s);
  }
  EXPECT_NE(code, -1) << driver.output();
  EXPECT_NE(code, 0);
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Deaths, too_few_descriptors_to_start_are_a_clear_error) {
  for (const int limit : {8, 12, 16, 20}) {
    ChildDriver driver("few_descriptors", {}, limit);
    const int code = driver.wait_exit(40s);
    EXPECT_TRUE(code == 3 || code == 0) << limit << ": exit " << code << "\n" << driver.output();
    EXPECT_THAT(driver.output(), HasSubstr(code == 3 ? "init failed: " : " values of 40")) << limit;
    EXPECT_THAT(leftovers(), IsEmpty()) << limit;
  }
}

TEST_F(Deaths, with_few_descriptors_fewer_workers_run_at_once) {
  ChildDriver driver("few_descriptors", {}, 64);
  EXPECT_EQ(driver.wait_exit(60s), 0) << driver.output();
  EXPECT_THAT(driver.output(), HasSubstr("40 values of 40"));
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Deaths, with_few_descriptors_actors_without_a_worker_are_errors_that_name_the_limit) {
  ChildDriver driver("actors_few_descriptors", {}, 64);
  EXPECT_EQ(driver.wait_exit(90s), 0) << driver.output();
  EXPECT_THAT(driver.output(), Not(HasSubstr(" 0 errors")));
  EXPECT_THAT(driver.output(), Not(HasSubstr("\n0 values")));
  EXPECT_THAT(driver.output(), HasSubstr("of 64 file descriptors in use (ulimit -n)"));
  EXPECT_THAT(driver.output(), HasSubstr("starts failed in a row within"));
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Deaths, a_million_tasks_are_queued_and_run) {
  ChildDriver driver("a_million");
  EXPECT_EQ(driver.wait_exit(100s), 0) << driver.output();
  std::printf("%s", driver.output().c_str());
  EXPECT_THAT(leftovers(), IsEmpty());
}

}  // namespace
}  // namespace mobula::testing
