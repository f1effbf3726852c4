// Nodes that are killed with the only copies of objects: what is found again, and how.
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/child_driver.h"
#include "tests/e2e/deaths.h"

namespace mobula::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LostObjects : public Deaths, public ::testing::WithParamInterface<const char*> {
 protected:
  // What the driver has written.
  std::string play(const std::string& scenario, std::vector<std::string> environment = {}) {
    environment.insert(environment.end(), {"MOBULA_NODES=4", GetParam()});
    ChildDriver driver(scenario, environment);
    EXPECT_EQ(driver.wait_exit(100s), 0) << driver.output();
    EXPECT_THAT(leftovers(), IsEmpty());
    return "\n" + driver.output();
  }
};
INSTANTIATE_TEST_SUITE_P(Links, LostObjects, ::testing::Values("MOBULA_NODE_LINK=shm", "MOBULA_NODE_LINK=sock"),
                         [](const auto& info) { return std::string(info.param).substr(17); });

TEST_P(LostObjects, are_made_again_by_their_tasks_all_returns_at_once) {
  EXPECT_THAT(play("made_again"), HasSubstr("\nruns: 4\n"));
}

TEST_P(LostObjects, are_made_again_when_the_node_dies_that_makes_them_again) {
  EXPECT_THAT(play("a_second_loss"), HasSubstr("\nnodes left: 2\n"));
}

TEST_P(LostObjects, are_made_again_from_what_nobody_holds_any_more) {
  EXPECT_THAT(play("a_chain_is_made_again"), HasSubstr("\nruns: 12\n"));
}

// Tasks that wait for lost arguments must not keep those that make them from the only CPU.
TEST_P(LostObjects, are_made_again_where_a_node_has_one_cpu) {
  EXPECT_THAT(play("a_chain_is_made_again", {"MOBULA_CPUS_PER_NODE=1"}), HasSubstr("\nruns: 12\n"));
}

TEST_P(LostObjects, are_taken_from_another_copy_where_there_is_one) {
  EXPECT_THAT(play("another_copy_is_found"), HasSubstr("\nruns: 1\n"));
}

TEST_P(LostObjects, are_found_again_by_those_that_borrowed_them) {
  const std::string out = play("a_borrower_finds_it_again");
  EXPECT_THAT(out, HasSubstr("\nread: 7\n"));
  EXPECT_THAT(out, HasSubstr("\nread by a task: 7\n"));
  EXPECT_THAT(out, HasSubstr("\nruns: 2\n"));
}

TEST_P(LostObjects, that_cannot_be_made_again_are_errors_that_say_why) {
  const std::string out = play("some_cannot_be_made_again");
  EXPECT_THAT(out, HasSubstr("\nonce: 6 "));  // ObjectLost.
  EXPECT_THAT(out, HasSubstr("has no retries left (attempt 1 was the last)"));
  EXPECT_THAT(out, HasSubstr("\nfrom a put: 6 "));
  EXPECT_THAT(out, HasSubstr("which was made by put(), is not referred to any more"));
  EXPECT_THAT(out, HasSubstr("\nfrom once: 6 "));
  EXPECT_THAT(out, HasSubstr("it is made from "));
  EXPECT_THAT(out, HasSubstr("\nof an actor: 6 "));
  EXPECT_THAT(out, HasSubstr("\nof an actor whose calls may be retried: value\n"));
  EXPECT_THAT(out, HasSubstr("\nruns after: 0\n"));
}

TEST_P(LostObjects, cannot_be_made_again_beyond_max_lineage_bytes) {
  const std::string out = play("lineage_is_bounded", {"MOBULA_MAX_LINEAGE_BYTES=3000"});
  EXPECT_THAT(out, HasSubstr("\nfirst: 6 "));
  EXPECT_THAT(out, HasSubstr("more than max_lineage_bytes (3000 bytes)"));
  EXPECT_THAT(out, HasSubstr("\nlast: value\n"));
}

TEST_P(LostObjects, whose_owner_died_with_its_node_are_owner_died_everywhere_within_two_seconds) {
  const std::string out = play("owners_die");
  EXPECT_THAT(out, HasSubstr("\nhere: 7 "));
  EXPECT_THAT(out, HasSubstr("\nthere: 7\n"));
  const std::size_t at = out.find("\nafter ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_LT(std::atoi(out.c_str() + at + 7), 2000) << out;
}

TEST_P(LostObjects, whose_owner_dies_while_it_has_them_made_again_are_owner_died_within_two_seconds) {
  const std::string out = play("an_owner_dies_that_seeks");
  EXPECT_THAT(out, HasSubstr("\nthere: 7\n"));
  EXPECT_THAT(out, HasSubstr("\nhere: 7 "));
  const std::size_t at = out.find("\nafter ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_LT(std::atoi(out.c_str() + at + 7), 2000) << out;
}

TEST_P(LostObjects, are_right_however_the_nodes_are_killed) {
  for (int seed = 1; seed <= 2; ++seed) {
    const std::string out = play("random_kills", {"MOBULA_NODES=6", "KILL_SEED=" + std::to_string(seed)});
    EXPECT_THAT(out, HasSubstr("all right after ")) << "seed " << seed;
  }
}

}  // namespace
}  // namespace mobula::testing
