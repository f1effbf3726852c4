// Workers on the CPUs of their bundles, on the machine that this is.
#include <unistd.h>

#include <gtest/gtest.h>

#include <mobula/mobula.h>

#include "core/os/bind.h"
#include "core/os/topology.h"
#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

int pid_inside(const std::string& gate) {
  enter(gate);
  return ::getpid();
}
int pid() { return ::getpid(); }
struct Holder {
  int pid() const { return ::getpid(); }
};

base::CpuSet cpus_of(int pid) { return os::allowed_cpus(pid).value_or(base::CpuSet()); }

TEST(Binding, keeps_each_worker_on_the_cpus_of_its_bundle) {
  const base::CpuSet all = os::affinity();
  if (all.count() < 2) GTEST_SKIP() << "one CPU: nothing to tell apart";
  const auto pair = placement_group({{.cpus = 1}, {.cpus = 1}}, {.placement = Placement::strict_pack});
  ASSERT_TRUE(pair.wait(kSoon));
  const auto a = actor<Holder>.with({.cpus = 1, .placement_group = pair, .bundle = 0})();
  const auto b = actor<Holder>.with({.cpus = 1, .placement_group = pair, .bundle = 1})();
  const base::CpuSet first = cpus_of(a.at<&Holder::pid>()().get(kSoon));
  const base::CpuSet second = cpus_of(b.at<&Holder::pid>()().get(kSoon));
  EXPECT_EQ(first.count(), 1u) << first.to_string();
  EXPECT_EQ(second.count(), 1u) << second.to_string();
  EXPECT_FALSE(first.intersects(second));
  EXPECT_TRUE(all.covers(first | second));
  remove(pair);
}

TEST(Binding, ends_with_the_lease) {
  const base::CpuSet all = os::affinity();
  if (all.count() < 2) GTEST_SKIP() << "one CPU: nothing to tell apart";
  const auto one = placement_group({{.cpus = 1}});
  const int inside = remote<&pid>.with({.placement_group = one, .bundle = 0})().get(kSoon);
  EXPECT_EQ(cpus_of(inside).count(), 1u);
  const Gate gate;
  std::vector<Ref<int>> plain;
  plain.push_back(remote<&pid_inside>(gate.path()));
  ASSERT_TRUE(gate.wait_entered(1));
  gate.open();
  EXPECT_EQ(cpus_of(plain[0].get(kSoon)), all) << "a task outside groups runs anywhere";
  remove(one);
}

}  // namespace
}  // namespace mobula::testing
