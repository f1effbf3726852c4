#include "core/os/cgroup.h"

#include <cerrno>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/os/temporary_directory.h"

namespace mobula::os {
namespace {

class CgroupTest : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_.path() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  CgroupLimits read() { return read_cgroups(root_.path()); }
  std::string root() const { return root_.path(); }

 private:
  TemporaryDirectory root_;
};

TEST_F(CgroupTest, SaysNothingWhereThereAreNone) {
  const auto limits = read();
  EXPECT_FALSE(limits.cpus);
  EXPECT_FALSE(limits.memory_limit_bytes);
  EXPECT_FALSE(limits.memory_free_bytes);
}

TEST_F(CgroupTest, Version2TakesTheSmallestOfAllGroupsAbove) {
  write("/proc/self/cgroup", "0::/job/step\n");
  write("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
  write("/sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/job/cpu.max", "250000 100000\n");
  write("/sys/fs/cgroup/job/step/memory.max", "max\n");
  write("/sys/fs/cgroup/job/memory.max", "1000000\n");
  write("/sys/fs/cgroup/job/memory.current", "900000\n");
  write("/sys/fs/cgroup/job/memory.stat", "anon 500000\nfile 400000\ninactive_file 300000\n");
  const auto limits = read();
  EXPECT_DOUBLE_EQ(limits.cpus.value(), 2.5);
  EXPECT_EQ(limits.memory_limit_bytes, 1'000'000u);
  EXPECT_EQ(limits.memory_free_bytes, 400'000u);
}

TEST_F(CgroupTest, Version1ReadsEachControllerFromItsOwnMount) {
  write("/proc/self/cgroup", "4:memory:/a\n3:cpu,cpuacct:/b/c\n0::/\n");
  write("/proc/self/mountinfo",
        "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n"
        "32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
  write("/cg/cpu/b/c/cpu.cfs_quota_us", "-1\n");
  write("/cg/cpu/b/c/cpu.cfs_period_us", "100000\n");
  write("/cg/cpu/b/cpu.cfs_quota_us", "50000\n");
  write("/cg/cpu/b/cpu.cfs_period_us", "100000\n");
  write("/cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("/cg/memory/a/memory.limit_in_bytes", "2000000\n");
  write("/cg/memory/a/memory.usage_in_bytes", "2500000\n");
  const auto limits = read();
  EXPECT_DOUBLE_EQ(limits.cpus.value(), 0.5);
  EXPECT_EQ(limits.memory_limit_bytes, 2'000'000u);
  EXPECT_EQ(limits.memory_free_bytes, 0u);
}

TEST_F(CgroupTest, OfAContainerIsReadBelowItsMount) {
  write("/proc/self/cgroup", "0::/pods/one/app\n");
  write("/proc/self/mountinfo", "30 20 0:26 /pods/one /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  write("/sys/fs/cgroup/app/memory.max", "5000\n");
  write("/sys/fs/cgroup/memory.max", "4000\n");
  EXPECT_EQ(read().memory_limit_bytes, 4000u);
}

TEST_F(CgroupTest, OomKillsAreCountedInTheGroupOfEitherVersionElseOfTheMachine) {
  EXPECT_FALSE(read_oom_kills(root()));
  write("/proc/vmstat", "nr_free_pages 5\noom_kill 7\n");
  EXPECT_EQ(read_oom_kills(root()).value().kills, 7u);
  EXPECT_EQ(read_oom_kills(root()).value().source, root() + "/proc/vmstat");

  write("/proc/self/cgroup", "4:memory:/a\n0::/job\n");
  write("/proc/self/mountinfo",
        "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n"
        "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
  write("/sys/fs/cgroup/job/memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\n");
  write("/sys/fs/cgroup/job/memory.peak", "4096\n");
  write("/sys/fs/cgroup/job/memory.max", "5000\n");
  const auto v2 = read_oom_kills(root()).value();
  EXPECT_EQ(v2.kills, 2u);
  EXPECT_EQ(v2.limit_hits, 12u);
  EXPECT_EQ(v2.limit_bytes, 5000u);
  EXPECT_EQ(v2.most_used_bytes, 4096u);

  write("/cg/memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
  write("/cg/memory/a/memory.failcnt", "31\n");
  write("/cg/memory/a/memory.limit_in_bytes", "3000\n");
  write("/cg/memory/a/memory.max_usage_in_bytes", "2999\n");
  const auto v1 = read_oom_kills(root()).value();
  EXPECT_EQ(v1.kills, 4u);
  EXPECT_EQ(v1.limit_hits, 31u);
  EXPECT_EQ(v1.limit_bytes, 3000u);
  EXPECT_EQ(v1.most_used_bytes, 2999u);
}

TEST_F(CgroupTest, ARefusedProcessIsExplainedByTheGroupWithTheLeastRoom) {
  EXPECT_FALSE(read_pids_limit(root()));
  write("/proc/self/cgroup", "4:pids:/a/b\n");
  write("/proc/self/mountinfo", "35 31 0:32 / /cg/pids rw - cgroup cgroup rw,pids\n");
  write("/cg/pids/a/b/pids.max", "max\n");
  write("/cg/pids/a/b/pids.current", "30\n");
  write("/cg/pids/a/pids.max", "60\n");
  write("/cg/pids/a/pids.current", "59\n");
  EXPECT_EQ(read_pids_limit(root()).value().limit, 60u);
  const std::string why = describe_no_process(EAGAIN, root());
  EXPECT_NE(why.find("(EAGAIN); 59 of 60 processes and threads in use (" + root() + "/cg/pids/a/pids.max)"),
            std::string::npos)
      << why;
  EXPECT_EQ(describe_no_process(EMFILE, root()), "Too many open files (EMFILE)");
}

}  // namespace
}  // namespace mobula::os
