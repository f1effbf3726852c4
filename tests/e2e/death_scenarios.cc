#include "tests/e2e/death_scenarios.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <thread>

#include <nlohmann/json.hpp>

#include <mobula/mobula.h>

#include "tests/e2e/end_scenarios.h"
#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

using Clock = std::chrono::steady_clock;

int add(int a, int b) { return a + b; }
int pass(const std::string& gate, int value) { return enter(gate) ? value : -1; }
struct Counter {
  int add(int k) { return n += k; }
  int hold(const std::string& gate) { return enter(gate) ? n : -1; }
  std::string node() { return context().node; }
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

// Tasks, an actor, objects: then waits for what will never come.
int busy() {
  const Gate gate;
  const auto a = actor<Counter>.with({.name = "busy", .lifetime = Lifetime::detached})();
  const auto held = put(std::vector<char>(8u << 20));
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 8; ++i) refs.push_back(remote<&pass>(gate.path(), i));
  refs.push_back(a.at<&Counter::hold>()(gate.path()));
  if (!gate.wait_entered(2)) return fail("nothing runs");
  say("ready " + gate.path());
  const auto begin = Clock::now();
  try {
    (void)get(refs, kSoon);
    return fail("the tasks have ended");
  } catch (const ClusterDown& error) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
    say("cluster down after " + std::to_string(ms.count()) + " ms: " + error.what());
  }
  const auto late = remote<&add>(1, 2).try_get(5s);
  if (late.has_value() || late.error().kind() != ErrorKind::kClusterDown) return fail("a task was taken after the end");
  const auto call = a.at<&Counter::add>()(1).try_get(5s);
  if (call.has_value()) return fail("a call was answered after the end");
  say("call: " + std::string(call.error().what()));
  return 0;
}

// Tasks, nested ones, actors and objects larger than a message.
bool a_bit_of_all_is_well() {
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 100; ++i) refs.push_back(remote<&add>(i, 1));
  if (get(refs, kSoon).back() != 100) return false;
  if (remote<[](int n) { return remote<&add>(n, 1).get(kSoon); }>(4).get(kSoon) != 5) return false;
  const auto a = actor<Counter>();
  if (a.at<&Counter::add>()(3).get(kSoon) != 3) return false;
  const auto size = remote<[](const std::vector<char>& v) { return v.size(); }>(put(std::vector<char>(8u << 20, 'x')));
  if (size.get(kSoon) != 8u << 20) return false;
  return remote<[] { return std::vector<char>(8u << 20, 'y'); }>().get(kSoon).size() == 8u << 20;
}

int a_bit_of_all() {
  if (!a_bit_of_all_is_well()) return fail("a wrong value");
  say("all is well");
  return 0;
}

int disk_fills_up() {
  if (!a_bit_of_all_is_well()) return fail("a wrong value at the begin");
  const std::string filler = std::string(std::getenv("MOBULA_TMPDIR")) + "/filler";
  std::ofstream file(filler);
  while (file << std::string(4096, 'x') << std::flush) {
  }
  file.close();
  say("the disk is full");
  for (int i = 0; i < 20; ++i) {
    remote<[] { std::fprintf(stderr, "%s\n", std::string(10'000, 'z').c_str()); }>().get(kSoon);
  }
  if (!a_bit_of_all_is_well()) return fail("a wrong value on a full disk");
  std::remove(filler.c_str());
  return a_bit_of_all();
}

// ---- a node dies.

struct NodeFacts {
  std::string id;
  pid_t raylet = 0;
};
std::vector<NodeFacts> other_nodes() {
  std::vector<NodeFacts> out;
  const auto status = nlohmann::json::parse(cluster_status_json());
  for (const auto& node : status["nodes"]) {
    const auto id = node["id"].get<std::string>();
    if (id.starts_with(context().node) || node["state"] != "ALIVE") continue;
    out.push_back({id, node["pid"].get<pid_t>()});
  }
  return out;
}

template <class T>
std::string outcome(const Ref<T>& ref, TimeLimit limit = kSoon) {
  const auto got = ref.try_get(limit);
  return got.has_value() ? "value" : std::to_string(static_cast<int>(got.error().kind())) + " " + got.error().what();
}

// By a signal to its raylet.
int lose_node_by(int signal) {
  const auto others = other_nodes();
  if (others.size() != 3) return fail("there are not four nodes");
  const NodeFacts victim = others[1];
  const Gate gate;
  const NodeAffinity there{victim.id};
  const NodeAffinity preferred{victim.id, true};
  const auto last = remote<&pass>.with({.cpus = 0.5, .max_retries = 0, .scheduling = there})(gate.path(), 1);
  if (!gate.wait_entered(1)) return fail("no task runs on the node");
  const Gate retry_gate;
  const auto again = remote<&pass>.with({.cpus = 0.5, .max_retries = 2, .scheduling = preferred})(retry_gate.path(), 2);
  if (!retry_gate.wait_entered(1)) return fail("no second task runs on the node");
  const auto a = actor<Counter>.with({.scheduling = there})();
  if (!victim.id.starts_with(a.at<&Counter::node>()().get(kSoon))) return fail("the actor is elsewhere");
  const auto moves = actor<Counter>.with({.max_restarts = 1, .scheduling = preferred})();
  if (!victim.id.starts_with(moves.at<&Counter::node>()().get(kSoon))) return fail("the second actor is elsewhere");
  const Gate actor_gate;
  const auto held = a.at<&Counter::hold>()(actor_gate.path());
  const auto object = remote<[] { return std::vector<char>(4u << 20, 'x'); }>.with({.scheduling = there})();
  (void)wait(std::vector{object}, {.count = 1, .timeout = kSoon});
  if (!object.ready()) return fail("no object was made on the node");

  ::kill(victim.raylet, signal);
  const auto begin = Clock::now();
  say("task: " + outcome(last));
  say("actor call: " + outcome(held));
  say("object: " + outcome(object));
  const auto told = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  say("errors after " + std::to_string(told.count()) + " ms");
  say("later call: " + outcome(a.at<&Counter::add>()(1)));
  retry_gate.open();
  say("retried task: " + outcome(again));
  say("restarted actor: " + outcome(moves.at<&Counter::add>()(1)));
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 100; ++i) refs.push_back(remote<&add>(i, 1));
  if (get(refs, kSoon).back() != 100) return fail("work does not go on");
  say("only there: " + outcome(remote<&add>.with({.scheduling = there})(1, 1)));
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  say("done after " + std::to_string(ms.count()) + " ms");
  return 0;
}
int lose_node() { return lose_node_by(SIGKILL); }
int stop_node() { return lose_node_by(SIGSTOP); }

// A worker that stands still is not dead: who waits decides how long, and its end is the raylet's to force.
int stop_worker() {
  struct Still {
    int pid() { return static_cast<int>(::getpid()); }
  };
  const auto a = actor<Still>();
  const pid_t pid = a.at<&Still::pid>()().get(kSoon);
  ::kill(pid, SIGSTOP);
  const auto call = a.at<&Still::pid>()();
  say("stopped: " + outcome(call, 500ms));
  ::kill(pid, SIGCONT);
  say("going on: " + outcome(call));
  ::kill(pid, SIGSTOP);
  const auto last = a.at<&Still::pid>()();
  const auto begin = Clock::now();
  kill(a);
  say("killed: " + outcome(last));
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  return ms < 5s ? 0 : fail("the kill took " + std::to_string(ms.count()) + " ms");
}

// ---- limits.

// Each worker costs its raylet descriptors: where they do not suffice for all, fewer run at once, and none hangs.
int few_descriptors() {
  const Gate gate;
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 40; ++i) refs.push_back(remote<&pass>.with({.cpus = 0.01})(gate.path(), i));
  if (!gate.wait_entered(2)) return fail("nothing runs");
  gate.open();
  int values = 0;
  for (const auto& ref : refs) {
    const auto got = ref.try_get(15s);
    if (!got.has_value() && got.error().kind() == ErrorKind::kTimeout) return fail("a task hangs");
    values += got.has_value() ? 1 : 0;
    if (!got.has_value()) say("error: " + outcome(ref));
  }
  say(std::to_string(values) + " values of 40");
  return remote<&add>(1, 2).get(15s) == 3 ? 0 : fail("a wrong sum");
}

// An actor keeps its worker: those for which there are no descriptors or processes end in an error that says so, and
// none hangs.
int actors_without_room() {
  std::vector<ActorHandle<Counter>> actors;
  std::vector<Ref<int>> refs;
  for (int i = 0; i < 40; ++i) {
    actors.push_back(actor<Counter>());
    refs.push_back(actors.back().at<&Counter::add>()(1));
  }
  int values = 0, errors = 0;
  std::string report;
  for (const auto& ref : refs) {
    const auto got = ref.try_get(40s);
    if (got.has_value()) {
      ++values;
    } else if (got.error().kind() == ErrorKind::kUnschedulable) {
      if (errors++ == 0) report = got.error().report();
    } else {
      return fail("a call ended with " + outcome(ref));
    }
  }
  say(std::to_string(values) + " values, " + std::to_string(errors) + " errors\n" + report);
  // Where one leaves, another has room.
  while (actors.size() > 1) actors.pop_back();
  const auto late = actor<Counter>();
  return late.at<&Counter::add>()(2).get(kSoon) == 2 ? 0 : fail("no room after actors have gone");
}

// Takes memory until somebody ends it.
int take_all_memory() {
  std::vector<std::vector<char>> taken;
  while (taken.size() < 1024) taken.emplace_back(16u << 20, 'x');
  return static_cast<int>(taken.size());
}
int take_all_memory_once(const std::string& gate) { return note(gate) == 0 ? take_all_memory() : 2; }
int kill_itself() {
  ::kill(::getpid(), SIGKILL);
  return 0;
}
struct Glutton {
  int eat() { return take_all_memory(); }
};

template <class T>
std::string report_of(const Ref<T>& ref) {
  const auto got = ref.try_get(kSoon);
  return got.has_value() ? std::to_string(*got) : got.error().report();
}

int out_of_memory() {
  say("task: " + report_of(remote<&take_all_memory>.with({.max_retries = 0})()));
  const auto glutton = actor<Glutton>();
  say("actor: " + report_of(glutton.at<&Glutton::eat>()()));
  const Gate gate;
  say("retried: " + report_of(remote<&take_all_memory_once>.with({.max_retries = 1})(gate.path())));
  say("killed by hand: " + report_of(remote<&kill_itself>.with({.max_retries = 0})()));
  return remote<&add>(1, 2).get(kSoon) == 3 ? 0 : fail("a wrong sum");
}

// Slowly enough that the raylet sees it coming.
int take_memory_slowly() {
  std::vector<std::vector<char>> taken;
  while (taken.size() < 512) {
    taken.emplace_back(4u << 20, 'x');
    std::this_thread::sleep_for(5ms);
  }
  return static_cast<int>(taken.size());
}
int take_memory_slowly_once(const std::string& gate) { return note(gate) == 0 ? take_memory_slowly() : 2; }
struct SlowGlutton {
  int eat() { return take_memory_slowly(); }
};

int memory_monitor() {
  say("task: " + report_of(remote<&take_memory_slowly>.with({.max_retries = 0})()));
  const Gate gate;
  say("retried: " + report_of(remote<&take_memory_slowly_once>.with({.max_retries = 1})(gate.path())));
  const auto glutton = actor<SlowGlutton>();
  say("actor: " + report_of(glutton.at<&SlowGlutton::eat>()()));
  // What is not run again lives while something is that is.
  const Gate once;
  auto keeper = actor<Counter>();
  say("keeper: " + std::to_string(keeper.at<&Counter::add>()(1).get(kSoon)));
  say("retried beside it: " + report_of(remote<&take_memory_slowly_once>.with({.max_retries = 1})(once.path())));
  return keeper.at<&Counter::add>()(1).get(kSoon) == 2 ? 0 : fail("the keeper was ended");
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

int a_million() {
  constexpr std::size_t kTasks = 1'000'000;
  const Gate gate;
  std::vector<Ref<int>> blockers;
  for (unsigned i = 0; i < 32 * std::thread::hardware_concurrency(); ++i)
    blockers.push_back(remote<&pass>(gate.path(), 1));
  if (!gate.wait_entered(1)) return fail("nothing runs");
  std::vector<Ref<int>> refs;
  refs.reserve(kTasks);
  const std::size_t before = resident_bytes();
  auto begin = Clock::now();
  for (std::size_t i = 0; i < kTasks; ++i) refs.push_back(remote<&add>(static_cast<int>(i), 1));
  const double submitted = std::chrono::duration<double>(Clock::now() - begin).count();
  const std::size_t queued = resident_bytes() - before;
  gate.open();
  begin = Clock::now();
  const auto values = get(refs, 60s);
  const double ran = std::chrono::duration<double>(Clock::now() - begin).count();
  for (std::size_t i = 0; i < kTasks; ++i) {
    if (values[i] != static_cast<int>(i) + 1) return fail("task " + std::to_string(i) + " has another's value");
  }
  std::printf("queued: %zu bytes a task; submitted in %.2f s, ran in %.2f s\n", queued / kTasks, submitted, ran);
  return 0;
}

}  // namespace

int play(const std::string& scenario) {
  static const std::map<std::string, int (*)()> scenarios{{"busy", &busy},
                                                          {"lose_node", &lose_node},
                                                          {"stop_node", &stop_node},
                                                          {"stop_worker", &stop_worker},
                                                          {"few_descriptors", &few_descriptors},
                                                          {"actors_without_room", &actors_without_room},
                                                          {"memory_monitor", &memory_monitor},
                                                          {"out_of_memory", &out_of_memory},
                                                          {"a_bit_of_all", &a_bit_of_all},
                                                          {"disk_fills_up", &disk_fills_up},
                                                          {"a_million", &a_million}};
  for (const auto* all : {&scenarios, &end_scenarios()}) {
    if (const auto it = all->find(scenario); it != all->end()) return it->second();
  }
  return fail("no such scenario");
}

}  // namespace mobula::testing
