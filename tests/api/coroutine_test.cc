#include <gtest/gtest.h>

#include "mobula/mobula.h"
#include "tests/api/local_runtime.h"

// Coroutines, and the expressions that compilers have got wrong in them: temporaries with destructors inside
// co_await.  Runs under AddressSanitizer, too.
namespace coroutines {

using mobula::Ref;
using mobula::remote;
using mobula::Task;

int load(int i) { return i; }
int prep(int x) { return x * 2; }
int boom(int) { throw std::out_of_range("index 7"); }
std::string text(std::string a, const std::string& b) { return a + b; }
void nothing() {}

Task<int> pipeline(int i) {
  int a = co_await remote<&load>(i);
  int b = co_await remote<&prep>(a);
  co_return a + b;
}
Task<int> helper(int n) {
  if (n == 0) co_return 0;
  co_return co_await helper(n - 1) + 1;
}
Task<int> deep(int n) { co_return co_await helper(n); }
Task<long> many(int n) {
  long sum = 0;
  for (int i = 0; i < n; ++i) sum += co_await remote<&load>(1);
  co_return sum;
}
Task<void> silent() { co_await remote<&nothing>(); }
Task<int> catches() {
  try {
    co_await remote<&boom>(1);
  } catch (const std::out_of_range& e) {
    co_return 1;
  }
  co_return 0;
}
Task<int> throws_late() {
  co_await remote<&load>(1);
  throw std::domain_error("late");
}
Task<int> by_reference(const std::string& s) {  // The argument lives as long as the coroutine.
  co_await remote<&load>(1);
  co_return static_cast<int>(s.size());
}
Task<std::string> options_in_await(std::string name) {
  const std::string long_name = name + " which is longer than any small string buffer could ever hold";
  const std::vector<mobula::NamedAmount> resources{{"licence", 1}};
  std::string out = co_await remote<&text>.with(
      {.cpus = 1, .resources = resources, .max_retries = 2, .name = long_name})(
      std::string("a long first argument, beyond the small string"), "and a second one, beyond the small string too");
  out += co_await remote<&text>.with({.cpus = 0.5, .name = "short", .scheduling = mobula::Spread{}})(out, "!");
  const Ref<std::string> kept = remote<&text>("x", "y");
  const std::string& shared = co_await kept;
  co_return out + shared;
}
Task<std::tuple<int, std::string>> tuple_later() {
  co_await remote<&nothing>();
  co_return std::tuple<int, std::string>{1, "one"};
}

struct Queue {
  int held = 0;
  Task<int> take(std::vector<Ref<int>> gate) {  // Waits without blocking the actor.
    ++held;
    const int v = co_await gate.at(0);
    --held;
    co_return v;
  }
  int waiting() const { return held; }
};

}  // namespace coroutines

namespace mobula {
namespace {

using namespace coroutines;

class Coroutines : public ::testing::Test {
 protected:
  tests::LocalSession session_;
};

TEST_F(Coroutines, AwaitRefsAndOtherTasks) {
  EXPECT_EQ(remote<&pipeline>(3).get(), 9);
  EXPECT_EQ(remote<&deep>(10).get(), 10);
  remote<&silent>().get();
}
TEST_F(Coroutines, DoNotGrowTheStack) {
  EXPECT_EQ(remote<&deep>(20'000).get(), 20'000);
  EXPECT_EQ(remote<&many>(20'000).get(), 20'000);
}
TEST_F(Coroutines, SeeErrorsAsExceptions) {
  EXPECT_EQ(remote<&catches>().get(), 1);
  EXPECT_THROW(static_cast<void>(remote<&throws_late>().get()), std::domain_error);
}
TEST_F(Coroutines, KeepTheirArguments) { EXPECT_EQ(remote<&by_reference>("twelve chars").get(), 12); }
TEST_F(Coroutines, TakeOptionsInsideCoAwait) {
  const std::string out = remote<&options_in_await>("name").get();
  EXPECT_TRUE(out.ends_with("!xy"));
}
TEST_F(Coroutines, SplitTheirResults) {
  auto [a, b] = remote<&tuple_later>.split()();
  EXPECT_EQ(a.get(), 1);
  EXPECT_EQ(b.get(), "one");
}
TEST_F(Coroutines, LetAnActorServeOthersWhileTheyWait) {
  const auto queue = actor<Queue>.with({.max_concurrency = 10})();
  const Ref<int> gate = remote<&load>(5);
  const std::vector<Ref<int>> gates{gate};
  // The local runtime runs calls in order: the methods suspend before the gate's task has been queued.
  const Ref<int> pending = remote<&prep>(gate);
  const Ref<int> taken = method<&Queue::take>(queue, std::vector{pending});
  EXPECT_EQ(taken.get(), 10);
  EXPECT_EQ(method<&Queue::waiting>(queue).get(), 0);
}
TEST_F(Coroutines, AreDestroyedUnstarted) {
  { const Task<int> never = pipeline(1); }
}

}  // namespace
}  // namespace mobula
