#include "core/os/host.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include <gtest/gtest.h>

namespace mobula::os {
namespace {

TEST(Host, HasANameAndAtLeastOneCpu) {
  EXPECT_FALSE(host_name().empty());
  EXPECT_GE(cpus_available(), 1u);
  EXPECT_LE(cpus_available(), std::max(1u, std::thread::hardware_concurrency()));
}

TEST(Host, CountsNoMoreCpusThanTheAffinityAllows) {
  std::thread bound([] {
    cpu_set_t all;
    ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &all)) {
        CPU_SET(cpu, &one);
        break;
      }
    }
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(cpus_available(), 1u);
  });
  bound.join();
}

TEST(Host, HasMemoryAndSomeOfItIsAvailable) {
  EXPECT_GT(memory_available_bytes(), 1u << 20);
  EXPECT_LE(memory_available_bytes(), memory_limit_bytes());
}

TEST(Host, BootIdIsTheSameForAChildAndDiffersInAnotherNamespace) {
  const std::string id = boot_id();
  EXPECT_EQ(id, boot_id());
  EXPECT_EQ(std::count(id.begin(), id.end(), '.'), 4);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWIPC) != 0) ::_exit(2);
    ::_exit(boot_id() == id ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "no user namespaces here";
  EXPECT_EQ(status, 0);
}

TEST(Host, ListsIpv4FirstAndLoopbackLast) {
  const auto addresses = ip_addresses();
  const auto loopback = std::find(addresses.begin(), addresses.end(), "127.0.0.1");
  if (loopback == addresses.end()) GTEST_SKIP() << "no loopback interface";
  for (auto at = loopback; at != addresses.end(); ++at) EXPECT_TRUE(at->starts_with("127.") || *at == "::1") << *at;
  for (auto at = addresses.begin(); at != loopback; ++at) EXPECT_FALSE(at->starts_with("127.")) << *at;
}

}  // namespace
}  // namespace mobula::os
