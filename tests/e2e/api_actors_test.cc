// Actors in other processes, through the public API.
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

using ::testing::HasSubstr;

struct Counter {
  explicit Counter(int start = 0) : n(start) {}
  int add(int k) { return n += k; }
  int get() const { return n; }
  int pid() const { return ::getpid(); }
  std::tuple<int, std::string> both() const { return {n, std::to_string(n)}; }
  [[noreturn]] int fail() { throw std::invalid_argument("this actor will not"); }
  int n;
};

struct Log {
  void append(int v) { seen.push_back(v); }
  std::vector<int> all() const { return seen; }
  std::vector<int> seen;
};

int add_through(const ActorHandle<Counter>& counter, int k) { return method<&Counter::add>(counter, k).get(kSoon); }
struct Team {
  ActorHandle<Counter> counter;
  std::string name;
};
int add_in_team(const Team& team) {
  return team.counter.at<&Counter::add>()(static_cast<int>(team.name.size())).get(kSoon);
}
ActorHandle<Counter> make_counter(int n) { return actor<Counter>(n); }

TEST(Actors, keep_state_between_calls_in_a_process_of_their_own) {
  const auto a = actor<Counter>(10);
  const auto b = actor<Counter>();
  EXPECT_EQ(method<&Counter::add>(a, 5).get(kSoon), 15);
  EXPECT_EQ(a.at<&Counter::get>()().get(kSoon), 15);
  EXPECT_EQ(b.at<&Counter::get>()().get(kSoon), 0);
  const int pid = a.at<&Counter::pid>()().get(kSoon);
  EXPECT_NE(pid, b.at<&Counter::pid>()().get(kSoon));
  EXPECT_EQ(pid, a.at<&Counter::pid>()().get(kSoon));
}

TEST(Actors, return_several_values_apart) {
  const auto a = actor<Counter>(3);
  const auto [n, text] = a.at<&Counter::both>().split()();
  EXPECT_EQ(text.get(kSoon), "3");
  EXPECT_EQ(n.get(kSoon), 3);
}

TEST(Actors, take_references_and_wait_for_them_in_order) {
  const Gate gate;
  const auto log = actor<Log>();
  const auto late = remote<[](const std::string& g) { return enter(g) ? 1 : -1; }>(gate.path());
  const auto first = log.at<&Log::append>()(late);
  const auto second = log.at<&Log::append>()(2);
  EXPECT_FALSE(second.ready());
  gate.open();
  EXPECT_EQ(log.at<&Log::all>()().get(kSoon), (std::vector{1, 2}));
}

TEST(Actors, take_references_in_their_constructor) {
  const Gate gate;
  const auto late = remote<[](const std::string& g) { return enter(g) ? 30 : -1; }>(gate.path());
  const auto a = actor<Counter>(late);
  const auto sum = a.at<&Counter::add>()(3);
  gate.open();
  EXPECT_EQ(sum.get(kSoon), 33);
}

TEST(Actors, answer_the_calls_of_one_caller_in_order) {
  const auto log = actor<Log>();
  std::vector<int> expected;
  for (int i = 0; i < 3000; ++i) {
    (void)log.at<&Log::append>()(i);
    expected.push_back(i);
  }
  EXPECT_EQ(log.at<&Log::all>()().get(kSoon), expected);
}

TEST(Actors, throw_what_their_methods_throw_and_go_on) {
  const auto a = actor<Counter>(1);
  EXPECT_THROW((void)a.at<&Counter::fail>()().get(kSoon), std::invalid_argument);
  EXPECT_EQ(a.at<&Counter::get>()().get(kSoon), 1);
}

TEST(Actors, are_reached_through_handles_inside_values) {
  const auto a = actor<Counter>(1);
  EXPECT_EQ(remote<&add_through>(a, 4).get(kSoon), 5);
  EXPECT_EQ(remote<&add_in_team>(Team{a, "four"}).get(kSoon), 9);
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 20; ++i) refs.push_back(remote<&add_through>(a, 1));
  (void)get(refs, kSoon);
  EXPECT_EQ(a.at<&Counter::get>()().get(kSoon), 29);
}

TEST(Actors, made_by_a_task_live_while_their_handle_does) {
  const Ref<ActorHandle<Counter>> made = remote<&make_counter>(7);
  const ActorHandle<Counter> a = made.get(kSoon);
  EXPECT_EQ(a.at<&Counter::add>()(1).get(kSoon), 8);
}

TEST(Actors, end_when_the_last_handle_is_gone) {
  int pid = 0;
  {
    const auto a = actor<Counter>();
    pid = a.at<&Counter::pid>()().get(kSoon);
  }
  const auto until = std::chrono::steady_clock::now() + kSoon;
  const auto here = [pid] { return remote<[](int p) { return ::kill(p, 0) == 0; }>(pid).get(kSoon); };
  while (here() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(2ms);
  EXPECT_FALSE(here());
}

TEST(Actors, calls_made_before_the_handle_is_dropped_still_run) {
  auto a = actor<Counter>(5);
  const auto ref = a.at<&Counter::add>()(1);
  a = {};
  EXPECT_EQ(ref.get(kSoon), 6);
}

// ---- names.

TEST(Names, find_an_actor) {
  const auto a = actor<Counter>.with({.name = "found"})(1);
  EXPECT_EQ(get_actor<Counter>("found").at<&Counter::add>()(2).get(kSoon), 3);
  EXPECT_EQ(remote<[] { return get_actor<Counter>("found").at<&Counter::add>()(3).get(kSoon); }>().get(kSoon), 6);
  EXPECT_EQ(a.at<&Counter::get>()().get(kSoon), 6);
}

TEST(Names, are_taken_once) {
  const auto a = actor<Counter>.with({.name = "taken"})(1);
  EXPECT_THROW((void)actor<Counter>.with({.name = "taken"})(2), Error);
  const auto same = actor<Counter>.with({.name = "taken", .get_if_exists = true})(3);
  EXPECT_EQ(same.at<&Counter::get>()().get(kSoon), 1);
  const auto elsewhere = actor<Counter>.with({.name = "taken", .ns = "elsewhere"})(4);
  EXPECT_EQ(get_actor<Counter>("taken", "elsewhere").at<&Counter::get>()().get(kSoon), 4);
}

TEST(Names, that_nobody_has_are_an_error) {
  try {
    (void)get_actor<Counter>("nobody");
    FAIL() << "there is no such actor";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("nobody"));
  }
}

TEST(Names, of_another_class_are_an_error) {
  const auto a = actor<Counter>.with({.name = "a counter"})(1);
  const auto wrong = get_actor<Log>("a counter");
  EXPECT_THROW((void)wrong.at<&Log::all>()().get(kSoon), std::invalid_argument);
}

TEST(Names, detached_actors_outlive_their_handles_until_they_are_killed) {
  { (void)actor<Counter>.with({.name = "stays", .lifetime = Lifetime::detached})(8).at<&Counter::add>()(1).get(kSoon); }
  const auto again = get_actor<Counter>("stays");
  EXPECT_EQ(again.at<&Counter::get>()().get(kSoon), 9);
  kill(again);
  EXPECT_THROW((void)again.at<&Counter::get>()().get(kSoon), ActorDied);
}

// ---- kill and cancel.

TEST(Kill, ends_an_actor_and_its_pending_calls) {
  struct Sleeper {
    int sleep(const std::string& gate) { return enter(gate) ? 1 : 0; }
  };
  const Gate gate;
  const auto a = actor<Sleeper>();
  const auto running = a.at<&Sleeper::sleep>()(gate.path());
  const auto queued = a.at<&Sleeper::sleep>()(gate.path());
  ASSERT_TRUE(gate.wait_entered(1));
  kill(a);
  EXPECT_THROW((void)running.get(kSoon), ActorDied);
  EXPECT_THROW((void)queued.get(kSoon), ActorDied);
  EXPECT_THROW((void)a.at<&Sleeper::sleep>()(gate.path()).get(kSoon), ActorDied);
}

TEST(Kill, with_restart_allowed_gives_a_new_run) {
  const auto a = actor<Counter>.with({.max_restarts = 1, .max_task_retries = -1})(2);
  EXPECT_EQ(a.at<&Counter::add>()(1).get(kSoon), 3);
  const int before = a.at<&Counter::pid>()().get(kSoon);
  kill(a, {.no_restart = false});
  const auto until = std::chrono::steady_clock::now() + kSoon;
  int after = before;
  while (after == before && std::chrono::steady_clock::now() < until) after = a.at<&Counter::pid>()().get(kSoon);
  EXPECT_NE(after, before);
  EXPECT_EQ(a.at<&Counter::get>()().get(kSoon), 2);
}

TEST(Cancel, a_queued_call_of_an_actor_does_not_run) {
  struct Waits {
    int wait(const std::string& gate) { return enter(gate) ? ++runs : -1; }
    int count() { return runs; }
    int runs = 0;
  };
  const Gate gate;
  const auto a = actor<Waits>();
  const auto running = a.at<&Waits::wait>()(gate.path());
  const auto queued = a.at<&Waits::wait>()(gate.path());
  ASSERT_TRUE(gate.wait_entered(1));
  cancel(queued);
  EXPECT_THROW((void)queued.get(kSoon), Cancelled);
  EXPECT_FALSE(running.ready()) << "the answer does not wait for the calls ahead";
  gate.open();
  EXPECT_EQ(running.get(kSoon), 1);
  EXPECT_EQ(a.at<&Waits::count>()().get(kSoon), 1);
}

// ---- concurrency.

struct Meeting {
  int meet(const std::string& gate, int n) {
    {
      const std::lock_guard lock(mutex);
      most = std::max(most, ++inside);
    }
    const bool opened = enter(gate);
    const std::lock_guard lock(mutex);
    --inside;
    return opened ? n : -1;
  }
  int most_at_once() {
    const std::lock_guard lock(mutex);
    return most;
  }
  std::mutex mutex;
  int inside = 0;
  int most = 0;
};

TEST(Concurrency, max_concurrency_calls_run_at_once) {
  const Gate gate;
  const auto a = actor<Meeting>.with({.max_concurrency = 3})();
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 6; ++i) refs.push_back(a.at<&Meeting::meet>()(gate.path(), i));
  ASSERT_TRUE(gate.wait_entered(3));
  EXPECT_EQ(gate.entered(), 3u);
  gate.open();
  EXPECT_EQ(get(refs, kSoon), (std::vector{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(a.at<&Meeting::most_at_once>()().get(kSoon), 3);
}

struct Relay {
  explicit Relay(std::string g) : gate(std::move(g)) {}
  Task<int> wait_for(Ref<int> other) {
    note(gate);
    const int v = co_await other;
    co_return v + 1;
  }
  Task<int> ask(ActorHandle<Counter> counter, int k) { co_return co_await counter.at<&Counter::add>()(k); }
  int plain() { return 1; }
  std::string gate;
};

TEST(Concurrency, a_coroutine_that_waits_lets_other_calls_run) {
  const Gate gate;
  const Gate began;
  const auto late = remote<[](const std::string& g) { return enter(g) ? 41 : -1; }>(gate.path());
  const auto relay = actor<Relay>(began.path());
  std::vector<Ref<int>> waiting;
  for (int i = 0; i < 10; ++i) waiting.push_back(relay.at<&Relay::wait_for>()(late));
  ASSERT_TRUE(began.wait_entered(10));
  EXPECT_EQ(relay.at<&Relay::plain>()().get(kSoon), 1);
  gate.open();
  EXPECT_EQ(get(waiting, kSoon), std::vector<int>(10, 42));
}

TEST(Concurrency, coroutines_call_other_actors) {
  const Gate unused;
  const auto relay = actor<Relay>(unused.path());
  const auto counter = actor<Counter>(0);
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 100; ++i) refs.push_back(relay.at<&Relay::ask>()(counter, 1));
  (void)get(refs, kSoon);
  EXPECT_EQ(counter.at<&Counter::get>()().get(kSoon), 100);
}

TEST(Concurrency, pending_calls_have_a_limit) {
  const Gate gate;
  const auto a = actor<Meeting>.with({.max_pending_calls = 2})();
  const auto first = a.at<&Meeting::meet>()(gate.path(), 1);
  const auto second = a.at<&Meeting::meet>()(gate.path(), 2);
  EXPECT_THROW((void)a.at<&Meeting::meet>()(gate.path(), 3).get(kSoon), PendingCallsLimit);
  gate.open();
  EXPECT_EQ(first.get(kSoon) + second.get(kSoon), 3);
  EXPECT_EQ(a.at<&Meeting::meet>()(gate.path(), 4).get(kSoon), 4);
}

TEST(Concurrency, threads_share_a_handle) {
  const auto a = actor<Counter>(0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&a] {
      for (int i = 0; i < 200; ++i) (void)a.at<&Counter::add>()(1).get(kSoon);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(a.at<&Counter::get>()().get(kSoon), 800);
}

TEST(Concurrency, actors_call_each_other) {
  struct Node {
    long pass(std::vector<ActorHandle<Node>> rest, long sum) {
      if (rest.empty()) return sum;
      const ActorHandle<Node> next = rest.back();
      rest.pop_back();
      return next.template at<&Node::pass>()(rest, sum + 1).get(kSoon);
    }
  };
  std::vector<ActorHandle<Node>> nodes;
  for (int i = 0; i < 8; ++i) nodes.push_back(actor<Node>());
  const auto first = nodes.back();
  nodes.pop_back();
  EXPECT_EQ(first.at<&Node::pass>()(nodes, 0).get(kSoon), 7);
}

}  // namespace
}  // namespace mobula::testing
