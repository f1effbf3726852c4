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

TEST_F(Misuse, how_a_worker_ended_is_known_where_the_program_ignores_its_children) {
  EXPECT_THAT(play("children_are_ignored"), HasSubstr("exit code 9"));
}

TEST_F(Misuse, an_actor_goes_by_the_name_of_its_class) {
  const std::string out = play("lines_are_tagged");
  EXPECT_THAT(out, ContainsRegex("\\[talk::Parrot [0-9]+@n0\\] an actor says so"));
  EXPECT_THAT(out, HasSubstr("actor talk::Stillborn "));
  EXPECT_THAT(out, Not(HasSubstr("Parrot::Parrot")));
}

}  // namespace
}  // namespace mobula::testing
