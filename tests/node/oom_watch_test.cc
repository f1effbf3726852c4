#include "core/raylet/oom_watch.h"

#include <signal.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/os/temporary_directory.h"

namespace mobula::raylet {
namespace {

using ::testing::HasSubstr;

class OomWatchTest : public ::testing::Test {
 protected:
  OomWatchTest() { kills(3); }
  void kills(int count) {
    std::filesystem::create_directories(root_.path() + "/proc");
    std::ofstream(root_.path() + "/proc/vmstat") << "oom_kill " << count << "\n";
  }
  // The kind that the death becomes.
  proto::ExitCause::Kind explain(os::ExitStatus status) {
    cause_.Clear();
    cause_.set_kind(proto::ExitCause::SIGNAL);
    cause_.set_text("worker 5 died");
    watch_->explain(status, cause_);
    return cause_.kind();
  }
  static constexpr os::ExitStatus kKilled{true, SIGKILL, 2048};

  os::TemporaryDirectory root_;
  std::unique_ptr<OomWatch> watch_;
  proto::ExitCause cause_;
};

TEST_F(OomWatchTest, ADeathIsTheKernelsWhenItsCountHasRisenAndEachCountExplainsOne) {
  watch_ = std::make_unique<OomWatch>(root_.path());
  EXPECT_EQ(explain(kKilled), proto::ExitCause::SIGNAL) << "what was killed before is none of ours";
  kills(4);
  EXPECT_EQ(explain({true, SIGSEGV, 0}), proto::ExitCause::SIGNAL);
  EXPECT_EQ(explain({false, 9, 0}), proto::ExitCause::SIGNAL);
  EXPECT_EQ(explain(kKilled), proto::ExitCause::OUT_OF_MEMORY);
  EXPECT_THAT(cause_.text(), HasSubstr("worker 5 died: the kernel's OOM killer took it with 2 MiB resident at most"));
  EXPECT_THAT(cause_.text(), HasSubstr("4 kills counted in"));
  EXPECT_FALSE(cause_.remedy().empty());
  EXPECT_EQ(explain(kKilled), proto::ExitCause::SIGNAL);
}

TEST_F(OomWatchTest, AKillThatNoDeathHereFollowedWasSomebodyElses) {
  watch_ = std::make_unique<OomWatch>(root_.path());
  kills(4);
  watch_->look();
  EXPECT_EQ(explain(kKilled), proto::ExitCause::OUT_OF_MEMORY) << "the look came between the kill and its report";
  kills(6);
  watch_->look();
  watch_->look();
  EXPECT_EQ(explain(kKilled), proto::ExitCause::SIGNAL);
}

}  // namespace
}  // namespace mobula::raylet
