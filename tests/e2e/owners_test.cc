// Idle workers that others need: asked to leave after idle_timeout_ms, which is short here, they stay for as long as an
// object or an actor would be lost with them.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

struct Counter {
  int add(int k) { return n += k; }
  int n = 0;
};
int be_idle_after(const std::string& gate) { return enter(gate) ? ::getpid() : 0; }

std::pair<int, Ref<std::string>> leave_object(const std::string& gate) {
  return {be_idle_after(gate), put(std::string("still here"))};
}
std::pair<int, ActorHandle<Counter>> leave_actor(const std::string& gate) {
  return {be_idle_after(gate), actor<Counter>.with({.cpus = 0.1})()};
}

bool wait_gone(int pid) {
  const auto until = std::chrono::steady_clock::now() + kSoon;
  while (::kill(pid, 0) == 0) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

TEST(IdleOwners, stay_until_what_they_own_is_dropped) {
  constexpr std::size_t kEach = 3;  // More than the cores that keep one idle anyhow.
  const Gate gate;
  const auto few = [](const auto& f) { return f.with({.cpus = 0.1}); };
  std::vector<Ref<std::pair<int, Ref<std::string>>>> objects;
  std::vector<Ref<std::pair<int, ActorHandle<Counter>>>> actors;
  std::vector<Ref<int>> nothing;
  for (std::size_t i = 0; i < kEach; ++i) {
    objects.push_back(few(remote<&leave_object>)(gate.path()));
    actors.push_back(few(remote<&leave_actor>)(gate.path()));
    nothing.push_back(few(remote<&be_idle_after>)(gate.path()));
  }
  ASSERT_TRUE(gate.wait_entered(3 * kEach));
  gate.open();
  for (auto& ref : nothing) {
    const int pid = ref.get(kSoon);
    ASSERT_NE(pid, 0);
    EXPECT_TRUE(wait_gone(pid)) << "a worker that owns nothing stays";
  }
  std::vector<int> owners;
  {
    for (auto& ref : objects) {
      const auto [pid, object] = ref.get(kSoon);
      EXPECT_EQ(object.get(kSoon), "still here");
      owners.push_back(pid);
    }
    for (auto& ref : actors) {
      auto [pid, counter] = ref.get(kSoon);
      EXPECT_EQ(method<&Counter::add>(counter, 2).get(kSoon), 2);
      owners.push_back(pid);
    }
    objects.clear();
    actors.clear();
  }
  std::size_t left = owners.size();
  const auto until = std::chrono::steady_clock::now() + kSoon;
  while (left > 2 && std::chrono::steady_clock::now() < until) {
    left = static_cast<std::size_t>(
        std::count_if(owners.begin(), owners.end(), [](int pid) { return ::kill(pid, 0) == 0; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_LE(left, 2u) << "those that own nothing any more stay";
}

}  // namespace
}  // namespace mobula::testing
