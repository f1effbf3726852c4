#include "tests/e2e/misuse_scenarios.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <thread>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace talk {

int speak() {
  std::printf("a task says so\n");
  return 1;
}
struct Parrot {
  int speak() {
    std::printf("an actor says so\n");
    return 1;
  }
};
struct Stillborn {
  Stillborn() { throw std::runtime_error("never"); }
  int speak() { return 1; }
};

}  // namespace talk

namespace mobula::testing {
namespace {

int add(int a, int b) { return a + b; }
int hold(const std::string& gate) { return enter(gate) ? 1 : 0; }
int ends(int code) { std::exit(code); }
struct Counter {
  int add(int k) { return n += k; }
  int n = 0;
};

void say(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

int fail(const std::string& text) {
  say("FAILED: " + text);
  return 1;
}

// The error's kind, and what it says.
template <class F>
std::string outcome(F&& f) {
  try {
    f();
    return "returned";
  } catch (const InvalidArgument& e) {
    return std::string("InvalidArgument: ") + e.what() + "; " + e.remedy();
  } catch (const Cancelled& e) {
    return std::string("Cancelled: ") + e.what();
  } catch (const Error& e) {
    return "another error: " + e.report();
  }
}

// Whether every kind of call is refused with these words.
bool all_refused(const std::string& words) {
  bool all = true;
  const auto expect = [&](const char* call, const std::string& said) {
    if (said.starts_with("InvalidArgument: ") && said.find(words) != said.npos) return;
    say(std::string(call) + ": " + said);
    all = false;
  };
  expect("remote", outcome([] { (void)remote<&add>(1, 2); }));
  expect("remote, a long argument", outcome([] {
           (void)remote<[](const std::vector<char>& v) { return v.size(); }>(std::vector<char>(300'000));
         }));
  expect("put", outcome([] { (void)put(1); }));
  expect("alloc", outcome([] { (void)alloc<int>(1); }));
  expect("actor", outcome([] { (void)actor<Counter>(); }));
  expect("get_actor", outcome([] { (void)get_actor<Counter>("x"); }));
  expect("context", outcome([] { (void)context(); }));
  expect("cluster_status_json", outcome([] { (void)cluster_status_json(); }));
  return all;
}

int calls_without_session(int argc, char** argv) {
  if (!all_refused("init(argc, argv)")) return fail("before the session");
  Ref<int> kept, pending;
  ActorHandle<Counter> counter;
  {
    const auto session = init(argc, argv);
    kept = remote<&add>(1, 2);
    if (kept.get(kSoon) != 3) return fail("a wrong sum");
    counter = actor<Counter>();
    if (counter.at<&Counter::add>()(1).get(kSoon) != 1) return fail("a wrong count");
  }
  if (!all_refused("after the end of the session")) return fail("after the session");
  const std::string call = outcome([&] { (void)counter.at<&Counter::add>()(1); });
  if (!call.starts_with("InvalidArgument")) return fail("a call of an actor of the last session " + call);
  if (kept.get() != 3) return fail("a value that is here is gone");
  const auto session = init(argc, argv);
  return remote<&add>(3, 4).get(kSoon) == 7 ? 0 : fail("a second session does not work");
}

// The copy returns from here, and so destroys its copies of the session and of all that refers to it.
int driver_forks(int argc, char** argv) {
  const auto session = init(argc, argv);
  if (remote<&add>(1, 2).get(kSoon) != 3) return fail("a wrong sum");
  const auto object = put(std::vector<int>(1'000'000, 5));
  const auto array = remote<[] { return alloc<int>(1'000'000); }>();
  const Array<int> seen = array.get(kSoon);
  const pid_t child = ::fork();
  if (child == 0) return all_refused("fork()") ? 42 : 1;
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 42) return fail("the copy ended by " + std::to_string(status));
  if (remote<&add>(3, 4).get(kSoon) != 7) return fail("no task after the copy");
  const auto sum = remote<[](const std::vector<int>& v) { return v.size() * static_cast<std::size_t>(v.back()); }>;
  if (sum(object).get(kSoon) != 5'000'000) return fail("no object after the copy");
  if (put(std::vector<int>(1'000'000, 6)).get(kSoon).back() != 6) return fail("no put after the copy");
  return seen.size() == 1'000'000 ? 0 : fail("no array after the copy");
}

// How the copy ended.
int forks_and_returns(Array<int> array) {
  const pid_t child = ::fork();
  if (child == 0) return 77;
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) + static_cast<int>(array.size() - array.size()) : -1;
}
int forks_and_throws() {
  const pid_t child = ::fork();
  if (child == 0) throw std::runtime_error("from the copy");
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
std::vector<char> forks_and_returns_much() {
  const pid_t child = ::fork();
  if (child == 0) return std::vector<char>(1 << 20, 'c');
  ::waitpid(child, nullptr, 0);
  return std::vector<char>(1 << 20, 'o');
}

int task_forks(int argc, char** argv) {
  const auto session = init(argc, argv);
  for (int i = 0; i < 3; ++i) {
    const auto array = seal(alloc<int>(1'000'000));
    const int code = remote<&forks_and_returns>.with({.max_retries = 0})(array).get(kSoon);
    if (code != 1) return fail("the caller got " + std::to_string(code));
    if (remote<&forks_and_throws>.with({.max_retries = 0})().get(kSoon) != 1) return fail("the copy's error came");
    if (remote<&forks_and_returns_much>.with({.max_retries = 0})().get(kSoon).back() != 'o')
      return fail("the copy's bytes");
  }
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 100; ++i) refs.push_back(remote<&add>(i, 1));
  return get(refs, kSoon).back() == 100 ? 0 : fail("work does not go on");
}

int threads_at_end(int argc, char** argv) {
  const Gate gate;
  std::vector<std::thread> threads;
  {
    const auto session = init(argc, argv);
    const auto task = remote<&hold>(gate.path());
    if (!gate.wait_entered(1)) return fail("nothing runs");
    threads.emplace_back([task] { say("task: " + outcome([&] { (void)task.get(); })); });
    threads.emplace_back([task] { say("all: " + outcome([&] { (void)get(std::vector{task, remote<&add>(1, 2)}); })); });
    threads.emplace_back([task] { say("some: " + outcome([&] { (void)wait(std::vector{task}, {.count = 1}); })); });
    std::atomic<bool> runs{false};
    threads.emplace_back([&runs] {
      const std::string said = outcome([&] {
        for (;;) {
          (void)remote<&add>(1, 2).get();
          runs = true;
        }
      });
      say("many: " + said);
    });
    while (!runs) std::this_thread::yield();
  }
  say("the session is over");
  for (auto& thread : threads) thread.join();
  return 0;
}

int children_are_ignored(int argc, char** argv) {
  std::signal(SIGCHLD, SIG_IGN);
  const auto session = init(argc, argv);
  const auto got = remote<&ends>.with({.max_retries = 0})(9).try_get(kSoon);
  if (got.has_value()) return fail("it has not died");
  say(got.error().report());
  const auto counter = actor<Counter>();
  if (counter.at<&Counter::add>()(2).get(kSoon) != 2) return fail("a wrong count");
  // The workers keep what the program asked for.
  return remote<[] { return std::signal(SIGCHLD, SIG_DFL) == SIG_IGN ? 0 : 1; }>().get(kSoon);
}

struct Selfish {
  int set(const ActorHandle<Selfish>& handle) {
    me = handle;
    return 1;
  }
  int one() { return ++calls; }
  int waits() { return me.at<&Selfish::one>()().get(); }
  int waits_a_moment() {
    const auto got = me.at<&Selfish::one>()().try_get(50ms);
    return got.has_value() ? 0 : static_cast<int>(got.error().kind());
  }
  int waits_for_one_of_two(const std::string& gate) {
    const auto other = remote<&hold>(gate);
    const auto [done, open] = wait(std::vector<Ref<int>>{me.at<&Selfish::one>()(), other}, {.count = 1});
    return static_cast<int>(done.size());
  }
  Task<int> awaits() { co_return co_await me.at<&Selfish::one>()(); }
  int drop() {
    me = {};
    return calls;
  }
  ActorHandle<Selfish> me;
  int calls = 0;
};

int actor_waits_for_itself(int argc, char** argv) {
  const auto session = init(argc, argv);
  const auto a = actor<Selfish>();
  (void)a.at<&Selfish::set>()(a).get(kSoon);
  say("waits: " + outcome([&] { (void)a.at<&Selfish::waits>()().get(kSoon); }));
  if (a.at<&Selfish::waits_a_moment>()().get(kSoon) != static_cast<int>(ErrorKind::kTimeout)) return fail("no timeout");
  const Gate gate;
  gate.open();
  if (a.at<&Selfish::waits_for_one_of_two>()(gate.path()).get(kSoon) != 1) return fail("not the other one");
  if (a.at<&Selfish::awaits>()().get(kSoon) != 4) return fail("a coroutine does not get its own call's result");
  if (a.at<&Selfish::drop>()().get(kSoon) != 4) return fail("calls are lost");
  const auto wide = actor<Selfish>.with({.max_concurrency = 2})();
  (void)wide.at<&Selfish::set>()(wide).get(kSoon);
  if (wide.at<&Selfish::waits>()().get(kSoon) != 1) return fail("an actor with two threads does not get it");
  return wide.at<&Selfish::drop>()().get(kSoon) == 1 ? 0 : fail("a call is lost");
}

int lines_are_tagged(int argc, char** argv) {
  const auto session = init(argc, argv);
  (void)remote<&talk::speak>().get(kSoon);
  (void)actor<talk::Parrot>().at<&talk::Parrot::speak>()().get(kSoon);
  const auto got = actor<talk::Stillborn>().at<&talk::Stillborn::speak>()().try_get(kSoon);
  if (got.has_value()) return fail("it lives");
  say(got.error().what());
  return 0;
}

}  // namespace

int misuse(const std::string& scenario, int argc, char** argv) {
  static const std::map<std::string, int (*)(int, char**)> scenarios{
      {"calls_without_session", &calls_without_session},
      {"driver_forks", &driver_forks},
      {"task_forks", &task_forks},
      {"threads_at_end", &threads_at_end},
      {"children_are_ignored", &children_are_ignored},
      {"actor_waits_for_itself", &actor_waits_for_itself},
      {"lines_are_tagged", &lines_are_tagged}};
  const auto it = scenarios.find(scenario);
  return it == scenarios.end() ? fail("no such scenario") : it->second(argc, argv);
}

}  // namespace mobula::testing
