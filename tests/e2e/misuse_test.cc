// Programs that use the library as they should not: each gets a typed error or its work done, and nothing stays.
#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/child_driver.h"
#include "tests/e2e/deaths.h"

namespace mobula::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Misuse : public Deaths {
 protected:
  // What it wrote; fails the test when it does not end by itself with 0, or leaves something.
  std::string play(const std::string& scenario) {
    ChildDriver driver(scenario);
    EXPECT_EQ(driver.wait_exit(90s), 0) << driver.output();
    EXPECT_THAT(leftovers(), IsEmpty());
    return driver.output();
  }
};

TEST_F(Misuse, calls_without_a_session_say_what_to_do) { play("calls_without_session"); }

TEST_F(Misuse, a_copy_of_the_driver_takes_nothing_from_it) { play("driver_forks"); }

TEST_F(Misuse, a_copy_of_a_worker_does_not_answer_for_it) {
  EXPECT_THAT(play("task_forks"), HasSubstr("a fork() of this worker came back from "));
}

TEST_F(Misuse, threads_that_wait_at_the_end_of_the_session_are_told) {
  const std::string out = play("threads_at_end");
  for (const char* who : {"task", "all", "some"})
    EXPECT_THAT(out, ContainsRegex(std::string(who) + ": (Cancelled: the session ended|returned)"));
  EXPECT_THAT(out, HasSubstr("task: Cancelled"));
  EXPECT_THAT(out, ContainsRegex("many: (Cancelled|InvalidArgument): "));
}

TEST_F(Misuse, how_a_worker_ended_is_known_where_the_program_ignores_its_children) {
  EXPECT_THAT(play("children_are_ignored"), HasSubstr("exit code 9"));
}

TEST_F(Misuse, an_actor_that_waits_for_a_call_to_itself_is_told) {
  EXPECT_THAT(play("actor_waits_for_itself"),
              HasSubstr("waits: InvalidArgument: this actor waits for a call to itself"));
}

TEST_F(Misuse, an_actor_goes_by_the_name_of_its_class) {
  const std::string out = play("lines_are_tagged");
  EXPECT_THAT(out, ContainsRegex("\\[talk::Parrot [0-9]+@n0\\] an actor says so"));
  EXPECT_THAT(out, HasSubstr("actor talk::Stillborn "));
  EXPECT_THAT(out, Not(HasSubstr("Parrot::Parrot")));
}

}  // namespace
}  // namespace mobula::testing
