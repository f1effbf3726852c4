// Tasks in other processes, through the public API.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <numeric>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

using ::testing::HasSubstr;

int pid_of_worker() { return ::getpid(); }
int add(int a, int b) { return a + b; }
std::string join(const std::string& a, std::string b, char c) { return a + b + c; }
double halve(double x) { return x / 2; }
void nothing() {}
int pass(const std::string& gate, int value) { return enter(gate) ? value : -1; }
int count_entry(const std::string& gate) { return static_cast<int>(note(gate)); }
std::tuple<int, std::string, std::vector<int>> three(int n) {
  return {n, std::string(static_cast<std::size_t>(n), 'x'), std::vector<int>(static_cast<std::size_t>(n), n)};
}
long fib(int n) {
  if (n < 2) return n;
  const auto a = remote<&fib>(n - 1);
  return a.get(kSoon) + remote<&fib>(n - 2).get(kSoon);
}
int sum_inside(const std::vector<Ref<int>>& refs) {
  int total = 0;
  for (const int v : get(refs, kSoon)) total += v;
  return total;
}
Ref<int> make_ref(int n) { return put(n * 10); }
Ref<int> submit_inside(int n) { return remote<&add>(n, 1); }
std::vector<Ref<std::string>> many_refs(int n) {
  std::vector<Ref<std::string>> out;
  for (int i = 0; i < n; ++i) out.push_back(put(std::to_string(i)));
  return out;
}

TEST(Tasks, run_in_another_process) {
  const int pid = remote<&pid_of_worker>().get(kSoon);
  EXPECT_NE(pid, ::getpid());
  EXPECT_GT(pid, 0);
}

TEST(Tasks, take_and_return_values) {
  EXPECT_EQ(remote<&add>(2, 3).get(kSoon), 5);
  EXPECT_EQ(remote<[](int x) { return x * x; }>(7).get(kSoon), 49);
  remote<&nothing>().get(kSoon);
}

TEST(Tasks, convert_their_arguments) {
  EXPECT_EQ(remote<&join>("ab", "cd", 'e').get(kSoon), "abcde");
  EXPECT_EQ(remote<&halve>(3).get(kSoon), 1.5);
  const Ref<int> seven = put(7);
  EXPECT_EQ(remote<&halve>(seven).get(kSoon), 3.5);
  EXPECT_EQ(remote<&halve>(remote<&add>(4, 5)).get(kSoon), 4.5);
}

TEST(Tasks, wait_for_references_given_as_arguments) {
  const Gate gate;
  const auto late = remote<&pass>(gate.path(), 20);
  const auto sum = remote<&add>(late, remote<&add>(1, 1));
  EXPECT_FALSE(sum.ready());
  gate.open();
  EXPECT_EQ(sum.get(kSoon), 22);
}

TEST(Tasks, chain_through_references) {
  Ref<int> value = put(0);
  for (int i = 0; i < 200; ++i) value = remote<&add>(value, 1);
  EXPECT_EQ(value.get(kSoon), 200);
}

TEST(Tasks, submit_tasks_and_wait_for_them) { EXPECT_EQ(remote<&fib>(9).get(kSoon), 34); }

TEST(Tasks, return_several_values_apart) {
  const auto [n, text, list] = remote<&three>.split()(4);
  EXPECT_EQ(text.get(kSoon), "xxxx");
  EXPECT_EQ(n.get(kSoon), 4);
  EXPECT_EQ(list.get(kSoon), std::vector<int>(4, 4));
  EXPECT_EQ(std::get<1>(remote<&three>(2).get(kSoon)), "xx");
}

TEST(Tasks, get_references_inside_values) {
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 10; ++i) refs.push_back(i % 2 == 0 ? put(i) : remote<&add>(i, 0));
  EXPECT_EQ(remote<&sum_inside>(refs).get(kSoon), 45);
}

TEST(Tasks, return_references) {
  EXPECT_EQ(remote<&make_ref>(4).get(kSoon).get(kSoon), 40);
  EXPECT_EQ(remote<&submit_inside>(4).get(kSoon).get(kSoon), 5);
  const auto list = remote<&many_refs>(30).get(kSoon);
  for (std::size_t i = 0; i < list.size(); ++i) EXPECT_EQ(list[i].get(kSoon), std::to_string(i));
}

TEST(Tasks, pass_returned_references_on_to_other_tasks) {
  const Ref<Ref<int>> outer = remote<&make_ref>(5);
  const Ref<int> inner = outer.get(kSoon);
  EXPECT_EQ(remote<&add>(inner, 1).get(kSoon), 51);
  EXPECT_EQ(remote<&sum_inside>(std::vector<Ref<int>>{inner, inner}).get(kSoon), 100);
}

TEST(Waiting, get_gives_up_after_its_limit_and_can_be_called_again) {
  const Gate gate;
  const auto ref = remote<&pass>(gate.path(), 3);
  EXPECT_THROW((void)ref.get(30ms), Timeout);
  EXPECT_FALSE(ref.ready());
  gate.open();
  EXPECT_EQ(ref.get(kSoon), 3);
}

TEST(Waiting, get_takes_many_references_and_keeps_their_order) {
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 2000; ++i) refs.push_back(remote<&add>(i, 1));
  std::vector<int> expected(2000);
  std::iota(expected.begin(), expected.end(), 1);
  EXPECT_EQ(get(refs, kSoon), expected);
  const auto [a, b] = get(std::tuple{put(1), put(std::string("b"))}, kSoon);
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, "b");
}

TEST(Waiting, wait_returns_once_count_are_there) {
  const Gate gate;
  std::vector<Ref<int>> refs{remote<&pass>(gate.path(), 1), remote<&add>(1, 1), put(3)};
  auto [done, rest] = wait(refs, {.count = 2, .timeout = kSoon});
  ASSERT_EQ(done.size(), 2u);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0], refs[0]);
  EXPECT_EQ(done[0].get(kSoon), 2);
}

TEST(Waiting, wait_returns_what_there_is_when_the_time_is_up) {
  const Gate gate;
  std::vector<Ref<int>> refs{remote<&pass>(gate.path(), 1), put(2)};
  auto [done, rest] = wait(refs, {.count = 2, .timeout = 50ms});
  EXPECT_EQ(done.size(), 1u);
  EXPECT_EQ(rest.size(), 1u);
  auto [all, none] = wait(refs, {.count = 0});
  EXPECT_TRUE(all.empty());
}

TEST(Waiting, try_get_returns_values_and_failures) {
  EXPECT_EQ(remote<&add>(1, 2).try_get(kSoon).value(), 3);
  const auto failed =
      remote<[](int n) -> int { throw std::runtime_error("no " + std::to_string(n)); }>(5).try_get(kSoon);
  ASSERT_FALSE(failed.has_value());
  EXPECT_STREQ(failed.error().what(), "no 5");
  EXPECT_THROW(failed.error().raise(), TaskError);
  const Gate gate;
  const auto late = remote<&pass>(gate.path(), 1).try_get(20ms);
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().kind(), ErrorKind::kTimeout);
}

// ---- coroutines.

Task<int> awaits(int n) {
  const int a = co_await remote<&add>(n, 1);
  const int b = co_await remote<&add>(a, 1);
  co_return a + b;
}
Task<int> awaits_task(int n) { co_return co_await awaits(n) + co_await awaits(n + 1); }
Task<void> awaits_nothing() { co_await remote<&nothing>(); }
Task<int> awaits_failure() {
  co_return co_await remote<[]() -> int { throw std::out_of_range("far"); }>();
}

TEST(Coroutines, await_references_and_other_coroutines) {
  EXPECT_EQ(remote<&awaits>(1).get(kSoon), 5);
  EXPECT_EQ(remote<&awaits_task>(1).get(kSoon), 12);
  remote<&awaits_nothing>().get(kSoon);
  EXPECT_THROW((void)remote<&awaits_failure>().get(kSoon), std::out_of_range);
}

TEST(Coroutines, many_wait_at_once) {
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 300; ++i) refs.push_back(remote<&awaits>(i));
  const auto values = get(refs, kSoon);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], 2 * i + 3);
}

// ---- cancelling.

// More tasks than the cluster has CPUs, which wait at a gate.
std::vector<Ref<int>> fill_cluster(const Gate& gate) {
  std::vector<Ref<int>> refs;
  for (unsigned i = 0; i < 32 * std::thread::hardware_concurrency(); ++i) refs.push_back(remote<&pass>(gate.path(), 1));
  return refs;
}

TEST(Cancel, a_queued_task_never_runs) {
  const Gate gate;
  const Gate trace;
  const auto busy = fill_cluster(gate);
  ASSERT_TRUE(gate.wait_entered(1));
  const auto queued = remote<&count_entry>(trace.path());
  cancel(queued);
  EXPECT_THROW((void)queued.get(kSoon), Cancelled);
  gate.open();
  (void)get(busy, kSoon);
  EXPECT_EQ(trace.entered(), 0u);
}

TEST(Cancel, a_task_that_waits_for_arguments_never_runs) {
  const Gate gate;
  const auto ref = remote<&add>(remote<&pass>(gate.path(), 1), 2);
  cancel(ref);
  EXPECT_THROW((void)ref.get(kSoon), Cancelled);
}

int waits_for(const std::string& gate, const Ref<int>& other) {
  note(gate);
  return other.get(kSoon);
}
int waits_inside(const std::string& gate, const std::vector<Ref<int>>& other) { return waits_for(gate, other[0]); }

TEST(Cancel, a_running_task_that_waits_stops) {
  const Gate began;
  const Gate never;
  const auto blocked = remote<&pass>(never.path(), 1);
  const auto ref = remote<&waits_inside>(began.path(), std::vector{blocked});
  ASSERT_TRUE(began.wait_entered(1));
  cancel(ref);
  EXPECT_THROW((void)ref.get(kSoon), Cancelled);
  never.open();
  EXPECT_EQ(blocked.get(kSoon), 1);
}

TEST(Cancel, a_task_that_computes_can_see_it) {
  const Gate began;
  const auto ref = remote<[](const std::string& gate) {
    note(gate);
    const auto until = std::chrono::steady_clock::now() + kSoon;
    while (!context().cancelled && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    return context().cancelled;
  }>(began.path());
  ASSERT_TRUE(began.wait_entered(1));
  cancel(ref);
  EXPECT_TRUE(ref.get(kSoon));
}

int spins_for_ever(const std::string& gate) {
  note(gate);
  for (;;) std::this_thread::sleep_for(1ms);
}

TEST(Cancel, force_ends_a_task_that_does_not_stop) {
  const Gate began;
  const auto ref = remote<&spins_for_ever>(began.path());
  ASSERT_TRUE(began.wait_entered(1));
  cancel(ref, {.force = true});
  EXPECT_THROW((void)ref.get(kSoon), Cancelled);
  EXPECT_EQ(remote<&add>(1, 1).get(kSoon), 2);
  EXPECT_EQ(began.entered(), 1u) << "a cancelled task is not retried";
}

// Runs until it is cancelled, and notes that.
int until_cancelled(const std::string& began, const std::string& stopped) {
  note(began);
  const auto until = std::chrono::steady_clock::now() + 2 * kSoon;
  while (!context().cancelled && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(1ms);
  if (context().cancelled) note(stopped);
  return 1;
}
int family(const std::string& began, const std::string& stopped, int depth) {
  std::vector<Ref<int>> children;
  for (int i = 0; i < 2; ++i) {
    children.push_back(depth == 0 ? remote<&until_cancelled>.with({.cpus = 0.1})(began, stopped)
                                  : remote<&family>.with({.cpus = 0.1})(began, stopped, depth - 1));
  }
  return static_cast<int>(get(children, 2 * kSoon).size());
}

TEST(Cancel, reaches_the_children_of_a_task_and_theirs) {
  const Gate began, stopped;
  const auto ref = remote<&family>(began.path(), stopped.path(), 1);
  ASSERT_TRUE(began.wait_entered(4));
  cancel(ref);
  EXPECT_THROW((void)ref.get(kSoon), Cancelled);
  EXPECT_TRUE(stopped.wait_entered(4)) << stopped.entered() << " of 4 have stopped";
}

struct Foreman {
  int work(const std::string& began, const std::string& stopped) { return family(began, stopped, 0); }
};

TEST(Cancel, reaches_the_children_of_an_actors_call) {
  const Gate began, stopped;
  const auto foreman = actor<Foreman>();
  const auto ref = foreman.at<&Foreman::work>()(began.path(), stopped.path());
  ASSERT_TRUE(began.wait_entered(2));
  cancel(ref);
  EXPECT_THROW((void)ref.get(kSoon), Cancelled);
  EXPECT_TRUE(stopped.wait_entered(2)) << stopped.entered() << " of 2 have stopped";
}

TEST(Cancel, reaches_children_that_wait_for_a_cpu) {
  const Gate gate, began;
  constexpr std::size_t kChildren = 500;
  const auto ref = remote<[](const std::string& g, const std::string& b) {
    std::vector<Ref<int>> children;
    for (std::size_t i = 0; i < kChildren; ++i) children.push_back(remote<&pass>(g, 1));
    note(b);
    return static_cast<int>(get(children, kSoon).size());
  }>(gate.path(), began.path());
  ASSERT_TRUE(began.wait_entered(1));
  ASSERT_TRUE(gate.wait_entered(1));
  cancel(ref);
  EXPECT_THROW((void)ref.get(kSoon), Cancelled);
  gate.open();
  // What is submitted now runs after whatever of them was still to run.
  std::vector<Ref<int>> after;
  for (int i = 0; i < 200; ++i) after.push_back(remote<&add>(i, 1));
  (void)get(after, kSoon);
  EXPECT_LT(gate.entered(), kChildren / 2);
}

TEST(Cancel, leaves_the_children_alone_when_asked_to) {
  const Gate gate, passed;
  const auto ref = remote<[](const std::string& g, const std::string& p) {
    return remote<[](const std::string& inner, const std::string& done) {
             const bool through = enter(inner);
             note(done);
             return through && !context().cancelled;
           }>(g, p)
        .get(kSoon);
  }>(gate.path(), passed.path());
  ASSERT_TRUE(gate.wait_entered(1));
  cancel(ref, {.recursive = false});
  EXPECT_THROW((void)ref.get(kSoon), Cancelled);
  EXPECT_EQ(passed.entered(), 0u);
  gate.open();
  EXPECT_TRUE(passed.wait_entered(1));
}

TEST(Cancel, does_nothing_to_a_task_that_has_ended) {
  const auto ref = remote<&add>(1, 1);
  EXPECT_EQ(ref.get(kSoon), 2);
  cancel(ref);
  EXPECT_EQ(ref.get(kSoon), 2);
}

// ---- threads.

TEST(Threads, four_submit_and_wait_at_once) {
  std::vector<std::thread> threads;
  std::array<long, 4> sums{};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t, &sums] {
      for (int round = 0; round < 10; ++round) {
        std::vector<Ref<int>> refs;
        for (int i = 0; i < 50; ++i) refs.push_back(remote<&add>(t * 1000, put(i)));
        for (const int v : get(refs, kSoon)) sums[static_cast<std::size_t>(t)] += v;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (long t = 0; t < 4; ++t) EXPECT_EQ(sums[static_cast<std::size_t>(t)], 10 * (50 * t * 1000 + 1225));
}

TEST(Threads, that_wait_meet_those_that_are_slow) {
  const Gate gate;
  const auto slow = remote<&pass>(gate.path(), 1);
  std::thread waits([&] { EXPECT_EQ(slow.get(kSoon), 1); });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(remote<&add>(i, i).get(kSoon), 2 * i);
  gate.open();
  waits.join();
}

// ---- options.

TEST(Options, context_tells_where_a_task_runs) {
  const auto there = remote<[] {
                       const Context c = context();
                       return std::tuple{c.job, c.task, c.worker};
                     }>()
                         .get(kSoon);
  EXPECT_EQ(std::get<0>(there), context().job);
  EXPECT_NE(std::get<1>(there), context().task);
  EXPECT_NE(std::get<2>(there), context().worker);
}

TEST(Options, retry_exceptions_runs_a_task_again) {
  const Gate gate;
  const auto ref = remote<[](const std::string& g) {
                     if (note(g) < 2) throw std::runtime_error("not yet");
                     return static_cast<int>(context().attempt);
                   }>.with({.max_retries = 3, .retry_exceptions = true})(gate.path());
  EXPECT_EQ(ref.get(kSoon), 2);
}

TEST(Options, a_task_that_wants_half_a_cpu_runs_beside_others) {
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 20; ++i) refs.push_back(remote<&add>.with({.cpus = 0.5})(i, 0));
  EXPECT_EQ(get(refs, kSoon).back(), 19);
  EXPECT_EQ(remote<&add>.with({.cpus = 0})(1, 1).get(kSoon), 2);
}

// That there is no other way between the nodes then is the raylets' doing; here, that UCX is what was loaded.
TEST(Options, a_call_to_another_node_takes_ucx_where_that_is_asked_for) {
  const char* link = std::getenv("MOBULA_NODE_LINK");
  if (link == nullptr || std::string(link) != "ucx") GTEST_SKIP() << "runs where MOBULA_NODE_LINK=ucx";
  const std::string here = context().node;
  std::string other;
  const auto status = nlohmann::json::parse(cluster_status_json());
  for (const auto& node : status["nodes"]) {
    if (const auto id = node["id"].get<std::string>(); !id.starts_with(here)) other = id;
  }
  ASSERT_FALSE(other.empty());
  const auto modules = remote<[] {
                         std::ifstream maps("/proc/self/maps");
                         return std::string(std::istreambuf_iterator<char>(maps), {});
                       }>.with({.scheduling = NodeAffinity{other}})();
  EXPECT_THAT(modules.get(kSoon), HasSubstr("libmobula_ucx.so"));
  // Longer than a message, and back.
  const auto size = remote<[](const std::vector<char>& v) { return v; }>.with({.scheduling = NodeAffinity{other}})(
      std::vector<char>(4u << 20, 'x'));
  EXPECT_EQ(size.get(kSoon).size(), 4u << 20);
}

TEST(Options, status_tells_of_the_nodes) { EXPECT_THAT(cluster_status_json(), HasSubstr("nodes")); }

}  // namespace
}  // namespace mobula::testing
