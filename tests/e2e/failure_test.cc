// What goes wrong in a task or an actor, and what the caller sees of it.
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

using ::testing::HasSubstr;

// What a call ended with; fails the test when it is a value, or no answer in time.
template <class T>
Failure failure_of(const Ref<T>& ref, TimeLimit limit = kSoon) {
  auto outcome = ref.try_get(limit);
  if (!outcome.has_value()) return outcome.error();
  ADD_FAILURE() << "there is a value instead of an error";
  return Failure(std::make_shared<base::ErrorInfo>());
}

struct OwnError {
  int code = 0;
};
struct OwnException : std::runtime_error {
  using std::runtime_error::runtime_error;
};

int add(int a, int b) { return a + b; }
int throws_standard(int i) { return std::vector<int>{}.at(static_cast<std::size_t>(i)); }
int throws_derived() { throw OwnException("mine"); }
int throws_own() { throw OwnError{4}; }
int throws_number() { throw 7; }
int segfaults() {
  ::raise(SIGSEGV);
  return 0;
}
int writes_nowhere() {
  void* const page = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *static_cast<volatile int*>(page) = 1;
  return 0;
}
int exits(int code) {
  std::exit(code);
  return 0;
}
int aborts() { std::abort(); }
int kills_itself() {
  ::kill(::getpid(), SIGKILL);
  return 0;
}
// Each call of it takes a page; so deep there is none left.
int deepen(int depth) {
  volatile char page[4096];
  page[depth % 4096] = static_cast<char>(depth);
  return depth == 100'000'000 ? 0 : deepen(depth + 1) + page[depth % 4096];
}
// Dies in its first `deaths` runs.
int dies_at_first(const std::string& gate, std::size_t deaths) {
  if (note(gate) < deaths) ::kill(::getpid(), SIGKILL);
  return static_cast<int>(context().attempt);
}

// ---- what tasks throw.

TEST(Throwing, a_standard_exception_arrives_as_itself_and_as_task_error) {
  const auto ref = remote<&throws_standard>(3);
  EXPECT_THROW((void)ref.get(kSoon), std::out_of_range);
  EXPECT_THROW((void)ref.get(kSoon), TaskError);
  const Failure failure = failure_of(ref);
  EXPECT_THAT(failure.function(), HasSubstr("throws_standard"));
  EXPECT_THAT(failure.report(), HasSubstr("throws_standard"));
  EXPECT_GT(failure.pid(), 0);
}

TEST(Throwing, own_types_arrive_as_task_error_with_their_name) {
  EXPECT_THROW((void)remote<&throws_derived>().get(kSoon), std::runtime_error);
  EXPECT_THAT(failure_of(remote<&throws_derived>()).type(), HasSubstr("OwnException"));
  EXPECT_STREQ(failure_of(remote<&throws_derived>()).what(), "mine");
  EXPECT_THROW((void)remote<&throws_own>().get(kSoon), TaskError);
  EXPECT_THAT(failure_of(remote<&throws_own>()).type(), HasSubstr("OwnError"));
  EXPECT_THAT(failure_of(remote<&throws_number>()).type(), HasSubstr("int"));
}

TEST(Throwing, the_error_of_an_argument_is_that_of_the_call) {
  const auto ref = remote<&add>(remote<&throws_standard>(1), 1);
  EXPECT_THROW((void)ref.get(kSoon), std::out_of_range);
}

TEST(Throwing, an_error_passes_through_nested_tasks) {
  const auto ref = remote<[] { return remote<&throws_standard>(5).get(kSoon); }>();
  EXPECT_THROW((void)ref.get(kSoon), std::out_of_range);
}

// ---- how tasks end their process.

template <class T>
void expect_death(const Ref<T>& ref, const std::string& how) {
  const Failure failure = failure_of(ref);
  EXPECT_EQ(failure.kind(), ErrorKind::kWorkerDied) << failure.what();
  EXPECT_THAT(failure.report(), HasSubstr(how));
  EXPECT_GT(failure.pid(), 0);
  EXPECT_THROW((void)ref.get(kSoon), WorkerDied);
}

TEST(Dying, tells_the_signal_or_the_exit_code) {
  expect_death(remote<&segfaults>.with({.max_retries = 0})(), "SIGSEGV");
  expect_death(remote<&writes_nowhere>.with({.max_retries = 0})(), "SIGSEGV");
  expect_death(remote<&exits>.with({.max_retries = 0})(3), "exit code 3");
  expect_death(remote<&exits>.with({.max_retries = 0})(0), "exit code 0");
  expect_death(remote<&aborts>.with({.max_retries = 0})(), "SIGABRT");
  expect_death(remote<&kills_itself>.with({.max_retries = 0})(), "SIGKILL");
  expect_death(remote<&deepen>.with({.max_retries = 0})(0), "SIGSEGV");
}

TEST(Dying, a_task_that_dies_once_is_run_again) {
  const Gate gate;
  EXPECT_EQ(remote<&dies_at_first>.with({.max_retries = 1})(gate.path(), std::size_t{1}).get(kSoon), 1);
  EXPECT_EQ(gate.entered(), 2u);
}

TEST(Dying, retries_have_an_end) {
  const Gate gate;
  const Failure failure = failure_of(remote<&dies_at_first>.with({.max_retries = 2})(gate.path(), std::size_t{100}));
  EXPECT_EQ(failure.kind(), ErrorKind::kWorkerDied);
  EXPECT_EQ(failure.attempt(), 2u);
  EXPECT_EQ(gate.entered(), 3u);
}

TEST(Dying, what_waits_behind_a_task_that_dies_runs_elsewhere) {
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 200; ++i) {
    refs.push_back(remote<&add>(i, 0));
    if (i % 50 == 25) (void)remote<&kills_itself>.with({.max_retries = 0})();
  }
  EXPECT_EQ(get(refs, kSoon).back(), 199);
}

// ---- requests that cannot be served.

TEST(Unservable, a_request_beyond_every_node_says_at_once_what_is_missing) {
  const auto begin = std::chrono::steady_clock::now();
  const auto ref = remote<&add>.with({.cpus = 1, .gpus = 100})(1, 2);
  const Failure failure = failure_of(ref);
  EXPECT_EQ(failure.kind(), ErrorKind::kUnschedulable);
  EXPECT_THAT(failure.report(), HasSubstr("gpus"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  const std::vector<NamedAmount> licences{{"licence", 1}};
  EXPECT_THAT(failure_of(remote<&add>.with({.resources = licences})(1, 2)).report(), HasSubstr("licence"));
  EXPECT_THROW((void)remote<&add>.with({.cpus = 5000})(1, 2).get(kSoon), Unschedulable);
  EXPECT_EQ(remote<&add>(1, 2).get(kSoon), 3);
}

TEST(Unservable, an_actor_beyond_every_node_is_an_error_of_its_calls) {
  struct Big {
    int get() { return 1; }
  };
  const auto a = actor<Big>.with({.gpus = 100})();
  const Failure failure = failure_of(a.at<&Big::get>()());
  EXPECT_THAT(failure.report(), HasSubstr("gpus"));
  EXPECT_EQ(failure.kind(), ErrorKind::kUnschedulable);
  EXPECT_THROW((void)a.at<&Big::get>()().get(kSoon), Unschedulable);
}

TEST(Unservable, a_node_that_does_not_exist_cannot_be_had) {
  const auto ref = remote<&add>.with({.scheduling = NodeAffinity{"no-such-node"}})(1, 2);
  EXPECT_THROW((void)ref.get(kSoon), Unschedulable);
  EXPECT_EQ(remote<&add>.with({.scheduling = NodeAffinity{"no-such-node", true}})(1, 2).get(kSoon), 3);
}

// ---- values larger than the store (of 96 MiB here).

constexpr std::size_t kTooMuch = 100u << 20;

TEST(Full, a_value_larger_than_the_store_is_refused_with_numbers) {
  const std::vector<char> big(kTooMuch);
  try {
    (void)put(big);
    FAIL() << "it does not fit";
  } catch (const ObjectStoreFull& e) {
    EXPECT_THAT(e.report(), HasSubstr(std::to_string(kTooMuch).substr(0, 4)));
    EXPECT_FALSE(e.remedy().empty());
  }
  EXPECT_THROW((void)alloc<char>(kTooMuch), ObjectStoreFull);
  EXPECT_THROW((void)put(big), std::bad_alloc);
}

TEST(Full, an_argument_larger_than_the_store_is_the_error_of_the_call) {
  const std::vector<char> big(kTooMuch);
  const Failure failure = failure_of(remote<[](const std::vector<char>& v) { return v.size(); }>(big));
  EXPECT_EQ(failure.kind(), ErrorKind::kObjectStoreFull) << failure.report();
}

TEST(Full, a_result_larger_than_the_store_is_an_error) {
  const Failure failure = failure_of(remote<[] { return std::vector<char>(kTooMuch); }>());
  EXPECT_EQ(failure.kind(), ErrorKind::kObjectStoreFull) << failure.report();
  EXPECT_EQ(remote<&add>(1, 2).get(kSoon), 3);
}

TEST(Full, there_is_room_again_when_references_are_dropped) {
  std::vector<Ref<Array<char>>> held;
  bool full = false;
  for (int i = 0; i < 64 && !full; ++i) {
    try {
      held.push_back(seal(alloc<char>(8u << 20)));
    } catch (const ObjectStoreFull&) {
      full = true;
    }
  }
  EXPECT_TRUE(full);
  EXPECT_GE(held.size(), 4u);
  held.clear();
  EXPECT_TRUE(seal(alloc<char>(8u << 20)).ready());
}

struct Filler {
  // Fills half of the store, and lets go of all of it.
  int fill() {
    std::vector<Ref<Array<char>>> held;
    for (int i = 0; i < 6; ++i) held.push_back(seal(alloc<char>(8u << 20)));
    return static_cast<int>(held.size());
  }
};

// A process keeps its memory for its own next objects, until another has no room.
TEST(Full, what_others_have_let_go_of_is_room_for_all) {
  const auto filler = actor<Filler>();
  EXPECT_EQ(filler.at<&Filler::fill>()().get(kSoon), 6);
  EXPECT_TRUE(seal(alloc<char>(72u << 20)).ready());
}

// ---- actors that are gone.

struct Mortal {
  int answer() { return 42; }
  int die() { return kills_itself(); }
  int end(int code) { return exits(code); }
  int hold(const std::string& gate) { return enter(gate) ? 1 : 0; }
};
struct Stillborn {
  explicit Stillborn(int n) {
    if (n != 0) throw std::invalid_argument("born with " + std::to_string(n));
  }
  int answer() { return 1; }
};
struct DiesEarly {
  DiesEarly() { kills_itself(); }
  int answer() { return 1; }
};

TEST(DeadActors, a_call_that_kills_the_actor_ends_all_calls) {
  const auto a = actor<Mortal>();
  EXPECT_EQ(a.at<&Mortal::answer>()().get(kSoon), 42);
  const auto fatal = a.at<&Mortal::die>()();
  const auto behind = a.at<&Mortal::answer>()();
  EXPECT_THROW((void)fatal.get(kSoon), ActorDied);
  EXPECT_THROW((void)behind.get(kSoon), ActorDied);
  const Failure later = failure_of(a.at<&Mortal::answer>()());
  EXPECT_EQ(later.kind(), ErrorKind::kActorDied);
  EXPECT_THAT(later.report(), HasSubstr("SIGKILL"));
}

TEST(DeadActors, one_that_exits_tells_its_code) {
  const auto a = actor<Mortal>();
  (void)a.at<&Mortal::end>()(5);
  EXPECT_THAT(failure_of(a.at<&Mortal::answer>()()).report(), HasSubstr("exit code 5"));
}

TEST(DeadActors, restart_when_they_may_and_calls_in_flight_are_retried_when_they_may) {
  const auto a = actor<Mortal>.with({.max_restarts = 1})();
  EXPECT_THROW((void)a.at<&Mortal::die>()().get(kSoon), ActorUnavailable);
  EXPECT_EQ(a.at<&Mortal::answer>()().get(kSoon), 42);
  EXPECT_THROW((void)a.at<&Mortal::die>()().get(kSoon), ActorDied);
}

TEST(DeadActors, what_a_constructor_throws_is_the_error_of_every_call) {
  const auto a = actor<Stillborn>(3);
  for (int i = 0; i < 2; ++i) {
    const Failure failure = failure_of(a.at<&Stillborn::answer>()());
    EXPECT_EQ(failure.kind(), ErrorKind::kActorDied);
    EXPECT_THAT(failure.report(), HasSubstr("born with 3"));
  }
  EXPECT_EQ(actor<Stillborn>(0).at<&Stillborn::answer>()().get(kSoon), 1);
}

TEST(DeadActors, one_that_dies_in_its_constructor_is_dead) {
  const auto a = actor<DiesEarly>();
  EXPECT_THROW((void)a.at<&DiesEarly::answer>()().get(kSoon), ActorDied);
}

TEST(DeadActors, one_whose_argument_failed_is_dead) {
  const auto a = actor<Stillborn>(remote<&throws_standard>(1));
  EXPECT_THROW((void)a.at<&Stillborn::answer>()().get(kSoon), ActorDied);
}

TEST(DeadActors, a_name_is_free_again) {
  const auto a = actor<Mortal>.with({.name = "mortal"})();
  EXPECT_THROW((void)a.at<&Mortal::die>()().get(kSoon), ActorDied);
  EXPECT_THROW((void)get_actor<Mortal>("mortal"), Error);
  EXPECT_EQ(actor<Mortal>.with({.name = "mortal"})().at<&Mortal::answer>()().get(kSoon), 42);
}

// ---- objects whose owner died.

struct Owner {
  Ref<int> pending(const std::string& gate) {
    return remote<[](const std::string& g) { return enter(g) ? 1 : 0; }>(gate);
  }
  Ref<std::vector<int>> big() { return put(std::vector<int>(100'000, 1)); }
  Ref<int> small() { return put(5); }
  int die() { return kills_itself(); }
};

TEST(DeadOwners, references_to_what_they_owned_are_errors) {
  const Gate gate;
  const auto owner = actor<Owner>();
  const Ref<int> pending = owner.at<&Owner::pending>()(gate.path()).get(kSoon);
  const Ref<int> small = owner.at<&Owner::small>()().get(kSoon);
  EXPECT_THROW((void)owner.at<&Owner::die>()().get(kSoon), ActorDied);
  EXPECT_THROW((void)pending.get(kSoon), OwnerDied);
  EXPECT_THROW((void)small.get(kSoon), OwnerDied);
  EXPECT_THROW((void)remote<&add>(small, 1).get(kSoon), OwnerDied);
}

TEST(DeadOwners, a_reader_that_waits_already_is_told) {
  const Gate gate;
  const auto owner = actor<Owner>();
  const Ref<int> pending = owner.at<&Owner::pending>()(gate.path()).get(kSoon);
  const auto reader =
      remote<[](const std::vector<Ref<int>>& refs) { return refs[0].get(kSoon); }>(std::vector{pending});
  ASSERT_TRUE(gate.wait_entered(1));
  (void)owner.at<&Owner::die>()();
  EXPECT_THROW((void)reader.get(kSoon), OwnerDied);
}

// ---- borrowers that died.

struct Keeper {
  int hold(const std::vector<Ref<int>>& refs, const std::string& gate) {
    if (enter(gate)) seen = refs[0].get(kSoon);
    return seen;
  }
  int what() { return seen; }
  int seen = -1;
};
struct Relay {
  int pass(const std::vector<Ref<int>>& refs, const ActorHandle<Keeper>& keeper, const std::string& gate) {
    return keeper.at<&Keeper::hold>()(refs, gate).get(kSoon);
  }
};

// The keeper has the reference from the relay alone, and the owner has never heard of it.
TEST(DeadBorrowers, whom_they_had_passed_a_reference_on_to_can_read_it) {
  const Gate gate;
  const auto keeper = actor<Keeper>();
  const auto relay = actor<Relay>();
  const auto passed = [&] {
    const Ref<int> ref = put(7);
    return relay.at<&Relay::pass>()(std::vector{ref}, keeper, gate.path());
  }();
  ASSERT_TRUE(gate.wait_entered(1));
  kill(relay);
  EXPECT_THROW((void)passed.get(kSoon), ActorDied);
  std::this_thread::sleep_for(6s);  // Longer than what the dead had borrowed is kept for them.
  gate.open();
  EXPECT_EQ(keeper.at<&Keeper::what>()().get(kSoon), 7);
}

// ---- deep and wide.

int nest(int depth) { return depth == 0 ? 0 : remote<&nest>(depth - 1).get(60s) + 1; }

TEST(Shapes, tasks_nest_200_deep) { EXPECT_EQ(remote<&nest>(200).get(60s), 200); }

TEST(Shapes, a_hundred_thousand_tasks_fan_out) {
  std::vector<Ref<int>> refs;
  refs.reserve(100'000);
  for (int i = 0; i < 100'000; ++i) refs.push_back(remote<&add>(i, 1));
  const auto values = get(refs, 60s);
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), 0L), 100'000L * 100'001L / 2);
}

TEST(Shapes, a_hundred_actors_live_at_once) {
  std::vector<ActorHandle<Mortal>> actors;
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 100; ++i) actors.push_back(actor<Mortal>());
  for (const auto& a : actors) refs.push_back(a.at<&Mortal::answer>()());
  EXPECT_EQ(get(refs, 60s), std::vector<int>(100, 42));
}

}  // namespace
}  // namespace mobula::testing
