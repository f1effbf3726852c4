// What users see when others have taken what the machine has.
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

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

}  // namespace
}  // namespace mobula::testing
