#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mobula/mobula.h"
#include "tests/api/local_runtime.h"

namespace calls {

struct Celsius {
  double degrees = 0;
  Celsius() = default;
  Celsius(double d) : degrees(d) {}
};

int add(int a, int b) { return a + b; }
long widen(long v) { return v * 2; }
double heat(Celsius c) { return c.degrees; }
std::string greet(const std::string& who) { return "hello " + who; }
std::size_t length(std::vector<float> v) { return v.size(); }
void nothing(int) {}
int boom(int) { throw std::out_of_range("index 7"); }
std::tuple<int, std::string> both(int x) { return {x, std::to_string(x)}; }
std::unique_ptr<int> boxed(std::unique_ptr<int> p) { return std::make_unique<int>(*p + 1); }
int chosen(int x) { return x; }
int chosen(double) { return -1; }
int quiet(int x) noexcept { return x; }
template <class T>
T twice(T v) {
  return v + v;
}
int read_ref(mobula::Ref<int> r) { return r.get() + 1; }
mobula::Ref<int> make_ref(int v) { return mobula::put(v); }
double sum(mobula::Array<float> a) { return std::accumulate(a.begin(), a.end(), 0.0); }
mobula::Array<float> ones(int n) {
  auto a = mobula::alloc<float>(n);
  std::ranges::fill(a.mut(), 1.f);
  return a;
}
int nested(int depth) { return depth == 0 ? 0 : mobula::remote<&nested>(depth - 1).get() + 1; }
std::vector<int> copies(std::vector<int> v) { return v; }

struct Base {
  int base_value() const { return 5; }
};
struct Counter : Base {
  int n;
  explicit Counter(int n0 = 0) : n(n0) {}
  Counter(std::string name, int n0) : n(n0 + static_cast<int>(name.size())) {}
  int add(int k) { return n += k; }
  int add(double) { return -1; }
  int get() const { return n; }
  void fail() { throw std::runtime_error("no"); }
  std::tuple<int, int> pair() const { return {n, -n}; }
  mobula::Task<int> later(mobula::Ref<int> r) { co_return n + co_await r; }
};
struct Other {
  int get() const { return 0; }
};
struct Picky {
  explicit Picky(int) { throw std::invalid_argument("not that"); }
  int get() const { return 0; }
};
struct Member {
  int scale;
  explicit Member(int s) : scale(s), at_birth(mobula::self().rank) {}
  int at_birth;
  int rank(int x) { return at_birth * scale + x; }
  int size() const { return mobula::self().size; }
};

}  // namespace calls

namespace mobula {
namespace {

using namespace calls;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Calls : public ::testing::Test {
 protected:
  tests::LocalSession session_;
  tests::LocalRuntime& runtime_ = session_.runtime();
};

TEST_F(Calls, TakeValuesAndGiveRefs) {
  EXPECT_EQ(remote<&calls::add>(2, 3).get(), 5);
  EXPECT_EQ(remote<greet>("world").get(), "hello world");
  EXPECT_EQ(remote<&length>(std::vector<float>(5000)).get(), 5000u);
  remote<&nothing>(1).get();
  EXPECT_EQ(*remote<&boxed>(std::make_unique<int>(4)).get(), 5);
  EXPECT_EQ((remote<[](int x) { return x * x; }>(7).get()), 49);
  EXPECT_EQ(remote<&quiet>(3).get(), 3);
  EXPECT_EQ(remote<&twice<std::string>>("ab").get(), "abab");
}

TEST_F(Calls, ConvertArgumentsAsAPlainCallWould) {
  EXPECT_EQ(remote<&widen>(3).get(), 6);
  EXPECT_EQ(remote<&heat>(36.6).get(), 36.6);
  const short s = 4;
  EXPECT_EQ(remote<&widen>(s).get(), 8);
}

TEST_F(Calls, TakeARefWhereItsValueIsExpected) {
  const Ref<int> a = remote<&calls::add>(1, 1);
  EXPECT_EQ(remote<&calls::add>(a, remote<&calls::add>(a, a)).get(), 6);
  EXPECT_EQ(remote<&widen>(a).get(), 4);          // Ref<int> for long: converted there.
  EXPECT_EQ(remote<&heat>(put(1.5)).get(), 1.5);  // Ref<double> for Celsius.
  EXPECT_EQ(remote<&length>(put(std::vector<float>(9))).get(), 9u);
  EXPECT_THROW(static_cast<void>(remote<&widen>(Ref<int>())), InvalidArgument);
}

TEST_F(Calls, PassARefAsARefWhereOneIsExpected) {
  EXPECT_EQ(remote<&read_ref>(put(4)).get(), 5);
  EXPECT_EQ(remote<&make_ref>(6).get().get(), 6);
}

TEST_F(Calls, ChooseAnOverload) {
  EXPECT_EQ(remote<overload<int(int)>(&chosen)>(4).get(), 4);
  EXPECT_EQ(remote<overload<int(double)>(&chosen)>(4).get(), -1);
}

TEST_F(Calls, SplitATupleIntoRefs) {
  const Ref<std::tuple<int, std::string>> whole = remote<&both>(3);
  EXPECT_EQ(std::get<1>(whole.get()), "3");
  auto [number, text] = remote<&both>.split()(4);
  EXPECT_EQ(number.get(), 4);
  EXPECT_EQ(text.get(), "4");
  EXPECT_EQ(get(remote<&both>.with({.cpus = 2}).split()(5)), (std::tuple<int, std::string>(5, "5")));
}

TEST_F(Calls, GiveErrorsByTheirType) {
  const Ref<int> bad = remote<&boom>(1);
  EXPECT_THROW(bad.get(), std::out_of_range);
  EXPECT_THROW(static_cast<void>(remote<&calls::add>(bad, 1).get()), std::out_of_range);  // Through a dependency.
  const auto tried = bad.try_get();
  ASSERT_FALSE(tried);
  EXPECT_STREQ(tried.error().what(), "index 7");
  EXPECT_EQ(tried.error().function(), "calls::boom(int)");
  EXPECT_THAT(tried.error().report(), HasSubstr("calls::boom(int)"));
  EXPECT_EQ(*remote<&calls::add>(1, 2).try_get(), 3);
  remote<&nothing>(1).try_get().value();
}

TEST_F(Calls, NestToDepth) { EXPECT_EQ(remote<&nested>(50).get(), 50); }

TEST_F(Calls, DecodeAValueOncePerProcess) {
  const Ref<std::string> r = remote<&greet>("x");
  const std::string& first = r.get();
  const Ref<std::string> copy = r;
  EXPECT_EQ(&first, &copy.get());
  for (const char c : remote<&greet>("range").get()) EXPECT_NE(c, '\0');
}

TEST_F(Calls, LeaveNothingBehind) {
  const std::size_t before = runtime_.live_objects();
  {
    auto a = remote<&calls::add>(1, 2);
    auto b = remote<&calls::add>(a, 2);
    EXPECT_EQ(b.get(), 5);
    static_cast<void>(put(std::vector<int>(10000)).get());
  }
  EXPECT_EQ(runtime_.live_objects(), before);
}

TEST_F(Calls, MoveArraysThroughWithoutCopies) {
  auto a = alloc<float>(5000);
  std::ranges::fill(a.mut(), 2.f);
  EXPECT_EQ(remote<&calls::sum>(seal(std::move(a))).get(), 10'000.0);
  const Ref<Array<float>> made = remote<&ones>(3000);
  EXPECT_EQ(remote<&calls::sum>(made).get(), 3000.0);
  EXPECT_TRUE(made.get().sealed());
  EXPECT_EQ(remote<&calls::sum>(made.get()).get(), 3000.0);  // By value.
}

TEST_F(Calls, WaitForSomeOfMany) {
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 10; ++i) refs.push_back(remote<&calls::add>(i, 0));
  auto [done, rest] = wait(refs, {.count = 3});
  EXPECT_EQ(done.size(), 3u);
  EXPECT_EQ(rest.size(), 7u);
  auto [all_done, none] = wait(refs, {.count = refs.size(), .timeout = std::chrono::seconds(10)});
  EXPECT_EQ(all_done.size(), 10u);
  EXPECT_TRUE(none.empty());
  EXPECT_THAT(get(refs), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_THROW(static_cast<void>(wait(refs, {.count = 11})), InvalidArgument);
}

TEST_F(Calls, GiveUpAfterATimeLimit) {
  struct Never {
    static Task<int> hold(Ref<int> r) { co_return co_await r; }
  };
  auto [done, rest] = wait(std::vector{remote<&calls::add>(1, 1)}, {.count = 1, .timeout = std::chrono::seconds(0)});
  EXPECT_TRUE(done.empty());
  const Ref<int> pending = rest[0];
  EXPECT_FALSE(pending.ready());
  EXPECT_THROW(pending.get(std::chrono::nanoseconds(0)), Timeout);
  EXPECT_EQ(pending.try_get(0ms).error().kind(), ErrorKind::kTimeout);
  EXPECT_THROW(get(rest, 0s), Timeout);
  cancel(pending);
  EXPECT_THROW(pending.get(), Cancelled);
}

TEST_F(Calls, ReachActorsInOrder) {
  const auto c = actor<Counter>(10);
  const Ref<int> first = method<overload<int(int)>(&Counter::add)>(c, 1);
  const Ref<int> second = c.at<overload<int(int)>(&Counter::add)>()(first);
  EXPECT_EQ(second.get(), 22);
  EXPECT_EQ(c.at<&Counter::get>()().get(), 22);
  EXPECT_EQ(c.at<&Counter::base_value>()().get(), 5);
  auto [plus, minus] = method<&Counter::pair>.split()(c);
  EXPECT_EQ(plus.get() + minus.get(), 0);
  EXPECT_EQ(std::get<0>(c.at<&Counter::pair>().split()()).get(), 22);
  EXPECT_THROW(method<&Counter::fail>(c).get(), std::runtime_error);
}

TEST_F(Calls, ConstructActorsFromTextAndRefs) {
  EXPECT_EQ(method<&Counter::get>(actor<Counter>("abc", 1)).get(), 4);
  EXPECT_EQ(method<&Counter::get>(actor<Counter>(put(7))).get(), 7);
  EXPECT_EQ(method<&Counter::get>(actor<Counter>()).get(), 0);
}

TEST_F(Calls, FindActorsByName) {
  const auto c = actor<Counter>.with({.cpus = 0.5, .max_restarts = 3, .name = "counter", .ns = "here"})(1);
  EXPECT_EQ(method<&Counter::get>(get_actor<Counter>("counter", "here")).get(), 1);
  EXPECT_THROW(static_cast<void>(get_actor<Counter>("counter")), InvalidArgument);
  const auto wrong = get_actor<Other>("counter", "here");
  EXPECT_THROW(static_cast<void>(method<&Other::get>(wrong).get()), std::invalid_argument);
  kill(c);
  EXPECT_THROW(static_cast<void>(method<&Counter::get>(c).get()), ActorDied);
}

TEST_F(Calls, TellWhatAConstructorThrew) {
  const auto p = actor<Picky>(1);
  EXPECT_THROW(static_cast<void>(method<&Picky::get>(p).get()), std::invalid_argument);
}

TEST_F(Calls, PassHandlesInsideValues) {
  const auto c = actor<Counter>(3);
  const auto through = [](std::vector<ActorHandle<Counter>> v) { return method<&Counter::get>(v.at(0)).get(); };
  EXPECT_EQ((remote<through>(std::vector{c}).get()), 3);
}

TEST_F(Calls, ReachEveryMemberOfAGroup) {
  const auto g = group<Member>.with({.size = 3, .cpus = 0.5})(10);
  EXPECT_EQ(g.size(), 3u);
  EXPECT_THAT(g.each<&Member::rank>()(1).get(), ElementsAre(1, 11, 21));
  EXPECT_EQ(method<&Member::rank>(g[2], 5).get(), 25);
  EXPECT_THAT(g.each<&Member::size>()().get(), ElementsAre(3, 3, 3));
  EXPECT_THROW((group<Member>.with({.size = 2, .placement = Placement::strict_spread})(10)), InvalidArgument)
      << "this runtime has no placement groups";
}

TEST_F(Calls, RefuseAnEmptyRefAndAnEmptyHandle) {
  EXPECT_THROW(static_cast<void>(Ref<int>().get()), InvalidArgument);
  EXPECT_THROW(static_cast<void>(method<&Counter::get>(ActorHandle<Counter>())), InvalidArgument);
}

// ---- options.

TEST_F(Calls, CopyTheirOptionsAtOnce) {
  auto configured = [] {
    const std::string name = "a name that is gone soon and too long for a small string";
    const std::vector<NamedAmount> resources{{"licence", 2}};
    return remote<&calls::add>.with({.cpus = 2,
                                     .gpus = 0.5,
                                     .memory = 1024,
                                     .resources = resources,
                                     .max_retries = -1,
                                     .name = name,
                                     .scheduling = NodeAffinity{.node = "n1", .soft = true}});
  }();
  EXPECT_EQ(configured(1, 2).get(), 3);
  const auto& spec = runtime_.interned().at(runtime_.last_options());
  EXPECT_EQ(spec.name, "a name that is gone soon and too long for a small string");
  EXPECT_EQ(spec.resources.get("cpus").value(), 2);
  EXPECT_EQ(spec.resources.get("licence").value(), 2);
  EXPECT_EQ(spec.resources.get("memory").value(), 1024);
  EXPECT_EQ(std::get<runtime::NodeAffinity>(spec.strategy.kind).node, "n1");
  const std::size_t interned = runtime_.interned().size();
  for (int i = 0; i < 10; ++i) static_cast<void>(remote<&calls::add>.with({.cpus = 2, .name = "loop"})(1, 2).get());
  EXPECT_EQ(runtime_.interned().size(), interned + 1);
}

TEST_F(Calls, CarryEveryActorOption) {
  std::map<std::string, std::string> labels{{"zone", "in(a,b)"}};
  const auto c = actor<Counter>.with({.cpus = 1,
                                      .gpus = 0.5,
                                      .memory = 4096,
                                      .resources = {{"fpga", 1}},
                                      .max_restarts = 1,
                                      .max_task_retries = 2,
                                      .max_concurrency = 3,
                                      .max_pending_calls = 4,
                                      .name = "all",
                                      .ns = "space",
                                      .lifetime = Lifetime::detached,
                                      .labels = labels,
                                      .scheduling = Spread{},
                                      .estimate = 5min,
                                      .get_if_exists = true})(1);
  const runtime::ActorSpecOptions& o = runtime_.last_actor();
  EXPECT_EQ(o.resources.to_string(), "cpus=1 fpga=1 gpus=0.5 memory=4096");
  EXPECT_EQ(o.max_restarts, 1);
  EXPECT_EQ(o.max_task_retries, 2);
  EXPECT_EQ(o.max_concurrency, 3);
  EXPECT_EQ(o.max_pending_calls, 4);
  EXPECT_EQ(o.name, "all");
  EXPECT_EQ(o.ns, "space");
  EXPECT_TRUE(o.detached);
  EXPECT_TRUE(o.get_if_exists);
  EXPECT_EQ(o.strategy.labels.at("zone"), "in(a,b)");
}

TEST_F(Calls, RefuseOptionsThatMeanNothing) {
  EXPECT_THROW(remote<&calls::add>.with({.cpus = -1}), InvalidArgument);
  EXPECT_THROW(remote<&calls::add>.with({.cpus = std::nan("")}), InvalidArgument);
  EXPECT_THROW(remote<&calls::add>.with({.max_retries = -2}), InvalidArgument);
  EXPECT_THROW(remote<&calls::add>.with({.bundle = 1}), InvalidArgument);
  EXPECT_THROW(actor<Counter>.with({.max_concurrency = 0}), InvalidArgument);
  EXPECT_THROW(actor<Counter>.with({.lifetime = Lifetime::detached}), InvalidArgument);
  EXPECT_THROW(group<Member>.with({.size = 0}), InvalidArgument);
  EXPECT_THROW(remote<&calls::add>.with({.runtime_env = {.working_dir = "/x"}}), InvalidArgument);
}

TEST(TimeLimit, SaturatesInsteadOfOverflowing) {
  EXPECT_TRUE(TimeLimit(std::chrono::milliseconds::max()).never());
  EXPECT_TRUE(TimeLimit(std::chrono::hours::max()).never());
  EXPECT_EQ(TimeLimit(std::chrono::duration<double>(0.5)).duration(), std::chrono::milliseconds(500));
}

}  // namespace
}  // namespace mobula
