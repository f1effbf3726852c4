// The zygote and the exec source by themselves: real forks of this test program.
#include "core/raylet/zygote.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/environment.h"
#include "core/os/event_loop.h"
#include "core/os/process.h"
#include "core/os/random.h"
#include "core/os/secret.h"
#include "core/raylet/log_capture.h"
#include "core/worker/zygote_main.h"
#include "tests/support/leak_check.h"

namespace mobula::testing {
namespace {

using namespace std::chrono_literals;
using raylet::Zygote;
using ::testing::IsEmpty;

class ZygoteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    secret_file_ = *secret_.to_memory_file();
    ::mkdir((leaks_.directory() + "/logs").c_str(), 0700);
    logs_.emplace(loop_, leaks_.directory() + "/logs", "n0", [this](const base::JobId&, const proto::LogLines& lines) {
      for (const auto& line : lines.lines()) lines_.push_back(line.text());
    });
  }
  void TearDown() override {
    zygote_.reset();
    logs_.reset();
    std::error_code ignored;
    EXPECT_THAT(leaks_.processes(), IsEmpty());
  }
  void spawn(const std::string& behaviour) {
    raylet::WorkerProgram program;
    program.exe = os::self_exe();
    program.argv = {"zygote-test"};
    program.env = os::environment();
    program.env.push_back("NODE_TEST=" + behaviour);
    program.secret_fd = secret_file_.get();
    auto zygote =
        Zygote::spawn(loop_, program,
                      {.started = [this](std::uint64_t token, pid_t pid) { started_[token] = pid; },
                       .failed = [this](std::uint64_t token, const std::string& why) { failed_[token] = why; },
                       .exited = [this](pid_t pid, os::ExitStatus status) { exited_[pid] = status; },
                       .ended = [this](const std::string& why) { ended_ = why; }},
                      [this](int threads) { threads_ = threads; });
    ASSERT_TRUE(zygote.ok()) << zygote.error().what;
    zygote_ = std::move(*zygote);
  }
  void order(std::uint64_t token) {
    const auto worker = os::random_id<base::WorkerId>();
    auto output = logs_->open(worker, job_);
    ASSERT_TRUE(output.ok());
    ids_[token] = worker;
    zygote_->start({token, worker, job_, output->out.get(), output->err.get()});
  }
  bool wait(const std::function<bool()>& condition, std::chrono::milliseconds patience = 10s) {
    const auto until = os::now() + patience;
    bool met = condition();  // Kept: a process that is being replaced by exec can be out of sight for a moment.
    while (!met && os::now() < until) {
      loop_.run_once(10ms);
      met = condition();
    }
    return met;
  }

  LeakCheck leaks_;
  os::EventLoop loop_;
  os::Secret secret_ = os::Secret::generate();
  os::Fd secret_file_;
  base::JobId job_ = os::random_id<base::JobId>();
  std::optional<raylet::LogCapture> logs_;
  std::unique_ptr<Zygote> zygote_;
  std::map<std::uint64_t, pid_t> started_;
  std::map<std::uint64_t, std::string> failed_;
  std::map<std::uint64_t, base::WorkerId> ids_;
  std::map<pid_t, os::ExitStatus> exited_;
  std::vector<std::string> lines_;
  std::string ended_;
  int threads_ = 0;
};

TEST_F(ZygoteTest, many_workers_are_forked_in_little_time) {
  spawn("wait");
  order(1);
  ASSERT_TRUE(wait([&] { return started_.size() == 1; }));
  constexpr std::uint64_t kCount = 200;
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t i = 2; i <= kCount; ++i) order(i);
  ASSERT_TRUE(wait([&] { return started_.size() == kCount; }));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%.0f forks a second\n", static_cast<double>(kCount - 1) / took.count());
  std::set<pid_t> pids;
  for (const auto& [token, pid] : started_) pids.insert(pid);
  EXPECT_EQ(pids.size(), kCount);
}

TEST_F(ZygoteTest, the_end_of_a_worker_is_reported_with_its_status) {
  spawn("exit-3");
  order(1);
  ASSERT_TRUE(wait([&] { return exited_.size() == 1; }));
  EXPECT_FALSE(exited_.begin()->second.signaled);
  EXPECT_EQ(exited_.begin()->second.code, 3);
}

TEST_F(ZygoteTest, what_a_worker_wrote_before_its_death_is_not_lost) {
  spawn("last-words");
  order(1);
  ASSERT_TRUE(wait([&] { return exited_.size() == 1; }));
  EXPECT_TRUE(exited_.begin()->second.signaled);
  const auto tail = logs_->close(ids_[1]);
  ASSERT_FALSE(tail.empty());
  EXPECT_EQ(tail.back(), "no newline at the end");
  EXPECT_THAT(lines_, ::testing::Contains("these are my last words"));
}

TEST_F(ZygoteTest, a_worker_that_writes_without_end_does_not_stop) {
  spawn("flood");
  order(1);
  ASSERT_TRUE(wait([&] { return exited_.size() == 1; }));
  EXPECT_EQ(exited_.begin()->second.code, 0);  // It wrote 8 MiB, which no pipe holds.
}

TEST_F(ZygoteTest, what_a_worker_started_dies_with_it) {
  spawn("grandchild");
  order(1);
  ASSERT_TRUE(wait([&] { return leaks_.processes().size() >= 3; }));  // Zygote, worker, grandchild.
  zygote_->kill(started_.at(1));
  ASSERT_TRUE(wait([&] { return exited_.size() == 1; }));
  EXPECT_TRUE(wait([&] { return leaks_.processes().size() == 1; }, 2s));
}

TEST_F(ZygoteTest, the_death_of_the_zygote_is_the_death_of_its_workers_and_told) {
  spawn("grandchild");
  order(1);
  ASSERT_TRUE(wait([&] { return leaks_.processes().size() >= 3; }));
  ::kill(zygote_->pid(), SIGKILL);
  ASSERT_TRUE(wait([&] { return !ended_.empty(); }));
  EXPECT_EQ(exited_.size(), 1u);
  EXPECT_TRUE(wait([&] { return leaks_.processes().empty(); }, 2s));
}

TEST_F(ZygoteTest, a_program_with_threads_says_so) {
  spawn("threads");
  order(1);
  ASSERT_TRUE(wait([&] { return threads_ != 0; }));
  EXPECT_EQ(threads_, 2);
}

TEST_F(ZygoteTest, a_program_that_never_comes_to_init_fails_its_orders) {
  spawn("leave-early");
  order(1);
  ASSERT_TRUE(wait([&] { return !ended_.empty(); }));
  EXPECT_EQ(failed_.size(), 1u);
  EXPECT_THAT(ended_, ::testing::HasSubstr("exit code 4"));
}

[[noreturn]] void be_worker(const std::string& behaviour) {
  if (behaviour == "exit-3") ::_exit(3);
  if (behaviour == "last-words") {
    std::printf("these are my last words\nno newline at the end");
    std::fflush(stdout);
    ::raise(SIGSEGV);
  }
  if (behaviour == "flood") {
    for (int i = 0; i < 100'000; ++i)
      std::printf("line %d of a great many, each of which is longer than eighty bytes when all is said and done\n", i);
    std::fflush(stdout);
    ::_exit(0);
  }
  if (behaviour == "grandchild" && ::fork() == 0) ::execl("/bin/sleep", "sleep", "1000", nullptr);
  for (;;) ::pause();
}

}  // namespace
}  // namespace mobula::testing

int main(int argc, char** argv) {
  const char* role = std::getenv("MOBULA_ROLE");
  const char* behaviour = std::getenv("NODE_TEST");
  if (role != nullptr && std::string(role) == "zygote" && behaviour != nullptr) {
    if (std::string(behaviour) == "leave-early") return 4;
    if (std::string(behaviour) == "threads") std::thread([] { ::pause(); }).detach();
    if (!mobula::worker::run_zygote()) return 5;
    mobula::testing::be_worker(behaviour);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
