// Drivers whose objects are lost with the nodes that hold them.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <map>
#include <random>
#include <thread>

#include <nlohmann/json.hpp>

#include <mobula/mobula.h>

#include "tests/e2e/death_scenarios.h"
#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

using Clock = std::chrono::steady_clock;
using Numbers = std::vector<std::uint64_t>;

constexpr std::size_t kMany = 50'000;  // Numbers: more than travels inside a message.

void say(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}
int fail(const std::string& text) {
  say("FAILED: " + text);
  return 1;
}

struct NodeFacts {
  std::string id;
  pid_t raylet = 0;
};
// Those that live, but the driver's.
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

Numbers numbers(std::uint64_t seed) {
  Numbers out(kMany);
  for (std::size_t i = 0; i < kMany; ++i) out[i] = seed + i;
  return out;
}
Numbers make(const std::string& runs, std::uint64_t seed) {
  note(runs);
  return numbers(seed);
}
// Each thirteenth run kills its worker.
Numbers sum(const std::string& runs, const Numbers& a, const Numbers& b) {
  if (note(runs) % 13 == 12) ::kill(::getpid(), SIGKILL);
  Numbers out(kMany);
  for (std::size_t i = 0; i < kMany; ++i) out[i] = a[i] + b[i];
  return out;
}
Numbers add(const std::string& runs, const Numbers& a, std::uint64_t k) {
  note(runs);
  Numbers out(a);
  for (std::uint64_t& n : out) n += k;
  return out;
}
std::tuple<Numbers, Numbers> make_two(const std::string& runs) {
  note(runs);
  return {numbers(1), numbers(2)};
}
std::uint64_t first_of(const Numbers& v) { return v.size() == kMany ? v[0] : 0; }

// In its second run it kills the raylet of the node that it runs on.
Numbers make_among_the_dying(const std::string& runs, std::uint64_t seed) {
  if (note(runs) != 1) return numbers(seed);
  const auto status = nlohmann::json::parse(cluster_status_json());
  for (const auto& node : status["nodes"]) {
    if (node["id"].get<std::string>().starts_with(context().node)) ::kill(node["pid"].get<pid_t>(), SIGKILL);
  }
  std::this_thread::sleep_for(kSoon);
  return {};
}

struct Maker {
  Numbers make(std::uint64_t seed) { return numbers(seed); }
};
struct Reader {
  void hold(const std::vector<Ref<Numbers>>& refs) { held = refs; }
  std::uint64_t read() { return first_of(held[0].get(kSoon)); }
  // Milliseconds until there is an error, and its kind.
  std::pair<std::int64_t, int> read_error() {
    const auto begin = Clock::now();
    const auto got = held[0].try_get(kSoon);
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
    return {ms.count(), got.has_value() ? 0 : static_cast<int>(got.error().kind())};
  }
  std::vector<Ref<Numbers>> held;
};
Numbers second_run_waits(const std::string& gate) { return note(gate) == 0 || enter(gate) ? numbers(1) : Numbers(); }

struct Owner {
  std::vector<Ref<Numbers>> made(const std::string& gate, const std::string& node) {
    mine = remote<&second_run_waits>.with({.scheduling = NodeAffinity{node, true}})(gate);
    (void)wait(std::vector{mine}, {.count = 1, .timeout = kSoon});
    return {mine};
  }
  std::vector<Ref<Numbers>> pending(const std::string& gate) {
    mine = remote<[](const std::string& g) { return enter(g) ? numbers(1) : Numbers(); }>(gate);
    return {mine};
  }
  Ref<Numbers> mine;
};

template <class T>
std::string outcome(const Ref<T>& ref) {
  const auto got = ref.try_get(kSoon);
  return got.has_value() ? "value" : std::to_string(static_cast<int>(got.error().kind())) + " " + got.error().report();
}
template <class T>
bool is_made(const Ref<T>& ref) {
  (void)wait(std::vector{ref}, {.count = 1, .timeout = kSoon});
  return ref.ready();
}
void end_node(const NodeFacts& node) { ::kill(node.raylet, SIGKILL); }

// Each in a cluster of its own, with four nodes.
int made_again() {
  const NodeFacts victim = other_nodes()[1];
  const NodeAffinity there{victim.id, true};
  const Gate runs;
  const auto ref = remote<&make>.with({.scheduling = there})(runs.path(), 5u);
  const auto two = remote<&make_two>.with({.scheduling = there}).split()(runs.path());
  if (!is_made(ref) || !is_made(std::get<0>(two)) || !is_made(std::get<1>(two))) return fail("nothing was made");
  end_node(victim);
  if (ref.get(kSoon) != numbers(5)) return fail("a wrong value");
  if (std::get<1>(two).get(kSoon) != numbers(2)) return fail("a wrong second value");
  if (std::get<0>(two).get(kSoon) != numbers(1)) return fail("a wrong first value");
  say("runs: " + std::to_string(runs.entered()));
  return 0;
}

// The node on which it is made again dies in the middle of that.
int a_second_loss() {
  const NodeFacts victim = other_nodes()[1];
  const Gate runs, others, gate;
  const auto all_of_it = remote<[](const std::string& g) { return enter(g); }>.with(
      {.cpus = static_cast<double>(std::thread::hardware_concurrency()), .scheduling = NodeAffinity{context().node}})(
      gate.path());
  if (!gate.wait_entered(1)) return fail("the driver's node is not taken");
  const auto ref = remote<&make_among_the_dying>.with({.scheduling = NodeAffinity{victim.id, true}})(runs.path(), 5u);
  const auto last = remote<&add>.with({.scheduling = NodeAffinity{victim.id, true}})(others.path(), ref, 1u);
  if (!is_made(last)) return fail("nothing was made");
  end_node(victim);
  if (ref.get(60s) != numbers(5)) return fail("a wrong value");
  if (last.get(60s) != numbers(6)) return fail("a wrong value made from it");
  gate.open();
  (void)all_of_it.get(kSoon);
  say("nodes left: " + std::to_string(1 + other_nodes().size()));
  return 0;
}

int a_chain_is_made_again() {
  const NodeFacts victim = other_nodes()[0];
  const NodeAffinity there{victim.id, true};
  const Gate runs;
  const auto last = [&] {
    Ref<Numbers> a = remote<&make>.with({.scheduling = there})(runs.path(), 5u);
    for (std::uint64_t i = 0; i < 5; ++i) a = remote<&add>.with({.scheduling = there})(runs.path(), a, i);
    return a;
  }();
  if (!is_made(last)) return fail("nothing was made");
  end_node(victim);
  if (last.get(kSoon) != numbers(15)) return fail("a wrong value");
  say("runs: " + std::to_string(runs.entered()));
  return 0;
}

int another_copy_is_found() {
  const auto others = other_nodes();
  const Gate runs;
  const auto ref = remote<&make>.with({.scheduling = NodeAffinity{others[0].id, true}})(runs.path(), 5u);
  const auto read = remote<&first_of>.with({.scheduling = NodeAffinity{others[1].id}})(ref);
  if (read.get(kSoon) != 5) return fail("it was not read");
  end_node(others[0]);
  if (ref.get(kSoon) != numbers(5)) return fail("a wrong value");
  say("runs: " + std::to_string(runs.entered()));
  return 0;
}

int a_borrower_finds_it_again() {
  const auto others = other_nodes();
  const Gate runs;
  const auto reader = actor<Reader>.with({.scheduling = NodeAffinity{others[1].id}})();
  const auto ref = remote<&make>.with({.scheduling = NodeAffinity{others[0].id, true}})(runs.path(), 7u);
  if (!is_made(ref)) return fail("nothing was made");
  reader.at<&Reader::hold>()(std::vector{ref}).get(kSoon);
  end_node(others[0]);
  say("read: " + std::to_string(reader.at<&Reader::read>()().get(kSoon)));
  say("read by a task: " + std::to_string(remote<&first_of>(ref).get(kSoon)));
  say("runs: " + std::to_string(runs.entered()));
  return 0;
}

int some_cannot_be_made_again() {
  const NodeFacts victim = other_nodes()[2];
  const NodeAffinity there{victim.id, true};
  const Gate runs;
  const auto once = remote<&make>.with({.max_retries = 0, .scheduling = there})(runs.path(), 1u);
  const auto from_put = [&] {
    const auto argument = put(numbers(1));
    auto ref = remote<&add>.with({.scheduling = there})(runs.path(), argument, 1u);
    (void)is_made(ref);
    return ref;
  }();
  const auto from_once = [&] {
    const auto argument = remote<&make>.with({.max_retries = 0, .scheduling = there})(runs.path(), 1u);
    auto ref = remote<&add>.with({.scheduling = there})(runs.path(), argument, 1u);
    (void)is_made(ref);
    return ref;
  }();
  const auto maker = actor<Maker>.with({.scheduling = there})();
  const auto of_actor = maker.at<&Maker::make>()(3u);
  const auto retried = actor<Maker>.with({.max_restarts = 1, .max_task_retries = 1, .scheduling = there})();
  const auto of_retried = retried.at<&Maker::make>()(4u);
  if (!is_made(once) || !is_made(from_once) || !is_made(of_actor) || !is_made(of_retried)) return fail("not made");
  const std::size_t before = runs.entered();
  end_node(victim);
  say("once: " + outcome(once));
  say("from a put: " + outcome(from_put));
  say("from once: " + outcome(from_once));
  say("of an actor: " + outcome(of_actor));
  if (of_retried.get(kSoon) != numbers(4)) return fail("a wrong value");
  say("of an actor whose calls may be retried: value");
  say("runs after: " + std::to_string(runs.entered() - before));
  return 0;
}

int lineage_is_bounded() {
  const NodeFacts victim = other_nodes()[2];
  const NodeAffinity there{victim.id, true};
  const Gate runs;
  std::vector<Ref<Numbers>> refs;
  for (std::uint64_t i = 0; i < 12; ++i) {
    refs.push_back(remote<&make>.with({.scheduling = there})(runs.path(), i));
    if (!is_made(refs.back())) return fail("not made");
  }
  end_node(victim);
  say("first: " + outcome(refs.front()));
  say("last: " + outcome(refs.back()));
  return 0;
}

int owners_die() {
  const auto others = other_nodes();
  const Gate gate;
  const auto owner = actor<Owner>.with({.scheduling = NodeAffinity{others[0].id}})();
  const auto reader = actor<Reader>.with({.scheduling = NodeAffinity{others[1].id}})();
  const auto refs = owner.at<&Owner::pending>()(gate.path()).get(kSoon);
  reader.at<&Reader::hold>()(refs).get(kSoon);
  const auto there = reader.at<&Reader::read_error>()();
  if (!gate.wait_entered(1)) return fail("nothing runs");
  end_node(others[0]);
  const auto begin = Clock::now();
  say("here: " + outcome(refs[0]));
  const auto [ms, kind] = there.get(kSoon);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  say("there: " + std::to_string(kind));
  static_cast<void>(ms);
  say("after " + std::to_string(took.count()) + " ms");
  return 0;
}

// It has the value made again for a reader when it dies.
int an_owner_dies_that_seeks() {
  const auto others = other_nodes();
  const Gate gate;
  const auto owner = actor<Owner>.with({.scheduling = NodeAffinity{others[0].id}})();
  const auto reader = actor<Reader>.with({.scheduling = NodeAffinity{others[1].id}})();
  const auto refs = owner.at<&Owner::made>()(gate.path(), others[2].id).get(kSoon);
  reader.at<&Reader::hold>()(refs).get(kSoon);
  end_node(others[2]);
  const auto there = reader.at<&Reader::read_error>()();
  if (!gate.wait_entered(3)) return fail("it is not made again");
  end_node(others[0]);
  const auto begin = Clock::now();
  say("there: " + std::to_string(there.get(kSoon).second));
  say("here: " + outcome(refs[0]));
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  say("after " + std::to_string(took.count()) + " ms");
  return 0;
}

// Sums of sums, while nodes and workers are killed at random moments.
int random_kills() {
  const char* const text = std::getenv("KILL_SEED");
  std::mt19937_64 random(text != nullptr ? std::strtoull(text, nullptr, 10) : 1);
  const Gate runs;
  std::vector<NodeFacts> others = other_nodes();
  std::shuffle(others.begin(), others.end(), random);
  others.pop_back();  // One stays.
  std::vector<std::pair<Ref<Numbers>, std::uint64_t>> made;
  for (std::uint64_t i = 0; i < 8; ++i) made.emplace_back(remote<&make>.with({.max_retries = 50})(runs.path(), i), i);
  std::size_t killed = 0;
  for (int round = 0; round < 60; ++round) {
    const auto& a = made[random() % made.size()];
    const auto& b = made[random() % made.size()];
    made.emplace_back(remote<&sum>.with({.max_retries = 50})(runs.path(), a.first, b.first), a.second + b.second);
    if (random() % 3 == 0) made.erase(made.begin() + static_cast<std::ptrdiff_t>(random() % made.size()));
    if (round % 12 == 11 && !others.empty()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 60));
      end_node(others.back());
      others.pop_back();
      ++killed;
    }
  }
  for (const auto& [ref, seed] : made) {
    const Numbers& got = ref.get(60s);
    if (got.size() != kMany || got[0] != seed) return fail("a wrong value: " + std::to_string(got[0]));
    const std::uint64_t step = got[1] - got[0];
    for (std::size_t i = 0; i < kMany; ++i) {
      if (got[i] != got[0] + i * step) return fail("a wrong value inside");
    }
  }
  say("all right after " + std::to_string(killed) + " nodes were killed, " + std::to_string(runs.entered()) + " runs");
  return 0;
}

}  // namespace

int play(const std::string& scenario) {
  static const std::map<std::string, int (*)()> scenarios{{"made_again", &made_again},
                                                          {"a_second_loss", &a_second_loss},
                                                          {"a_chain_is_made_again", &a_chain_is_made_again},
                                                          {"another_copy_is_found", &another_copy_is_found},
                                                          {"a_borrower_finds_it_again", &a_borrower_finds_it_again},
                                                          {"some_cannot_be_made_again", &some_cannot_be_made_again},
                                                          {"lineage_is_bounded", &lineage_is_bounded},
                                                          {"owners_die", &owners_die},
                                                          {"an_owner_dies_that_seeks", &an_owner_dies_that_seeks},
                                                          {"random_kills", &random_kills}};
  const auto it = scenarios.find(scenario);
  return it == scenarios.end() ? fail("no such scenario") : it->second();
}

}  // namespace mobula::testing
