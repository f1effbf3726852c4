// Kills members of groups in the middle of each operation, and looks at what the others get.
//
//   collective_chaos [--seconds N | --kills N] [--seed S] [--operation NAME] [--death kill|stop|throw]
//
// --kills: so many of each operation. Of twenty deaths one is a SIGSTOP and three are exceptions; the others SIGKILL.
// Every other member must leave with a CollectiveError that names the dead one, within 2 s (2 s after the hang limit
// when it was stopped), and must have had no wrong result before.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <thread>

#include <mobula/mobula.h>

namespace {

using Clock = std::chrono::steady_clock;
using Vec = std::vector<double>;
using std::chrono::milliseconds;

constexpr auto kDeathLimit = milliseconds(2000);
constexpr auto kHangLimit = milliseconds(5000 + 2000);

double value(int rank, std::size_t i) { return rank + 1 + static_cast<double>(i % 13); }
double sum(int ranks, std::size_t i) {
  double out = 0;
  for (int r = 0; r < ranks; ++r) out += value(r, i);
  return out;
}

// One call of an operation; whether its result is right.
struct Round {
  const mobula::Communicator& me;
  std::size_t count;
  Vec mine = filled(me.rank, count);
  Vec all = Vec(count * static_cast<std::size_t>(me.size));

  static Vec filled(int rank, std::size_t count) {
    Vec out(count);
    for (std::size_t i = 0; i < count; ++i) out[i] = value(rank, i);
    return out;
  }
  std::span<const double> in() const { return mine; }
  bool is(const Vec& what, auto&& wanted) const {
    for (std::size_t i = 0; i < what.size(); ++i) {
      if (what[i] != wanted(i)) return false;
    }
    return true;
  }
  bool is_all() const {
    return is(all, [&](std::size_t i) { return value(static_cast<int>(i / count), i % count); });
  }
  bool is_sum(const Vec& what, int ranks) const {
    return is(what, [&](std::size_t i) { return sum(ranks, i); });
  }
  int root() const { return static_cast<int>(count) % me.size; }
};

using Operation = bool (*)(Round&);
const std::map<std::string, Operation>& operations() {
  static const std::map<std::string, Operation> all = {
      {"barrier", [](Round& r) { return r.me.barrier(), true; }},
      {"broadcast",
       [](Round& r) {
         r.me.broadcast(std::span(r.mine), r.root());
         return r.is(r.mine, [&](std::size_t i) { return value(r.root(), i); });
       }},
      {"reduce",
       [](Round& r) {
         Vec out(r.count);
         r.me.reduce(r.in(), out, mobula::ReduceOp::sum, r.root());
         return r.me.rank != r.root() || r.is_sum(out, r.me.size);
       }},
      {"allreduce", [](Round& r) { return r.me.allreduce(std::span(r.mine)), r.is_sum(r.mine, r.me.size); }},
      {"allreduce_async",
       [](Round& r) {
         Vec more = r.mine;
         const auto first = r.me.allreduce_async(std::span(r.mine));
         const auto second = r.me.allreduce_async(std::span(more));
         second.wait();
         first.wait();
         return r.is_sum(r.mine, r.me.size) && r.is_sum(more, r.me.size);
       }},
      {"gather", [](Round& r) { return r.me.gather(r.in(), r.all, r.root()), r.me.rank != r.root() || r.is_all(); }},
      {"allgather", [](Round& r) { return r.me.allgather(r.in(), r.all), r.is_all(); }},
      {"allgatherv",
       [](Round& r) {
         const std::vector<std::size_t> counts(static_cast<std::size_t>(r.me.size), r.count);
         return r.me.allgatherv(r.in(), r.all, counts), r.is_all();
       }},
      {"scatter",
       [](Round& r) {
         for (int q = 0; q < r.me.size; ++q) {
           for (std::size_t i = 0; i < r.count; ++i) r.all[static_cast<std::size_t>(q) * r.count + i] = value(q, i);
         }
         Vec out(r.count);
         r.me.scatter(std::span<const double>(r.all), out, r.root());
         return out == r.mine;
       }},
      {"reduce_scatter",
       [](Round& r) {
         for (std::size_t i = 0; i < r.all.size(); ++i) r.all[i] = value(r.me.rank, i % r.count);
         Vec out(r.count);
         r.me.reduce_scatter(std::span<const double>(r.all), out);
         return r.is_sum(out, r.me.size);
       }},
      {"alltoall",
       [](Round& r) {
         const Vec out = [&] {
           Vec v(r.all.size());
           for (std::size_t i = 0; i < v.size(); ++i) v[i] = value(r.me.rank, i % r.count);
           return v;
         }();
         return r.me.alltoall(std::span<const double>(out), r.all), r.is_all();
       }},
      {"scan",
       [](Round& r) {
         Vec out(r.count);
         return r.me.scan(r.in(), out), r.is_sum(out, r.me.rank + 1);
       }},
      {"exclusive_scan",
       [](Round& r) {
         Vec out(r.count);
         return r.me.exclusive_scan(r.in(), out), r.me.rank == 0 || r.is_sum(out, r.me.rank);
       }},
      {"sendrecv",
       [](Round& r) {
         Vec got(r.count);
         const int left = (r.me.rank + r.me.size - 1) % r.me.size;
         r.me.sendrecv((r.me.rank + 1) % r.me.size, r.in(), left, got);
         return r.is(got, [&](std::size_t i) { return value(left, i); });
       }},
  };
  return all;
}

struct Work {
  std::string operation;
  std::size_t count = 1;
  int throws_on = -1;  // Rank,
  int throws_at = 0;   // after so many calls.
};
struct Outcome {
  std::string wrong;
  std::vector<int> dead;
  std::string error;
};

struct Member {
  int pid() const {
    mobula::self().barrier();
    return ::getpid();
  }
  Outcome work(const Work& work) const {
    const mobula::Communicator& me = mobula::self();
    const Operation operation = operations().at(work.operation);
    try {
      for (int i = 0;; ++i) {
        if (me.rank == work.throws_on && i == work.throws_at) throw std::runtime_error("thrown by the test");
        Round round{me, work.count};
        if (!operation(round)) return {"call " + std::to_string(i) + " has a wrong result", {}, {}};
      }
    } catch (const mobula::CollectiveError& e) {
      return {{}, e.dead_ranks(), e.what()};
    }
  }
};

enum class Death { kKill, kStop, kThrow };

struct Options {
  int seconds = 0;
  int kills = 100;  // Of each operation, when seconds is 0.
  std::uint64_t seed = 1;
  std::string operation;
  std::string death;  // Of this kind only.
};

struct Seen {
  int deaths = 0;
  milliseconds slowest{0};        // Until all others had left, of those that were killed,
  milliseconds slowest_throw{0};  // and of those that threw.
};

// One death; what is wrong, or nothing.
std::string kill_one(const std::string& operation, Death death, std::mt19937_64& random, Seen& seen) {
  const auto below = [&](std::uint64_t n) { return static_cast<int>(random() % n); };
  const int size = 2 + below(3);
  const auto members = mobula::group<Member>.with({.size = size})();
  std::vector<int> pids;
  for (auto& pid : members.each<&Member::pid>()()) pids.push_back(pid.get(milliseconds(20'000)));
  const int victim = below(static_cast<std::uint64_t>(size));
  Work work{operation, std::vector<std::size_t>{1, 700, 40'000}[random() % 3]};
  if (death == Death::kThrow) {
    work.throws_on = victim;
    work.throws_at = below(20);
  }
  const auto results = members.each<&Member::work>()(work);
  const auto victims = static_cast<std::size_t>(victim);
  std::this_thread::sleep_for(std::chrono::microseconds(below(6000)));
  if (death == Death::kThrow) {
    try {
      (void)results[victims].get(milliseconds(20'000));
      return "the victim has not thrown";
    } catch (const std::runtime_error&) {
    }
  } else {
    ::kill(pids[victims], death == Death::kKill ? SIGKILL : SIGSTOP);
  }
  const auto died = Clock::now();
  std::string wrong;
  for (std::size_t r = 0; r < pids.size() && wrong.empty(); ++r) {
    if (r == victims) continue;
    const std::string who = "rank " + std::to_string(r);
    try {
      const auto limit = death == Death::kStop ? kHangLimit : kDeathLimit;
      const Outcome outcome = results[r].get(limit - (Clock::now() - died));
      if (!outcome.wrong.empty()) wrong = who + ": " + outcome.wrong;
      if (outcome.dead != std::vector{victim}) wrong = who + " does not name the dead: " + outcome.error;
    } catch (const mobula::Timeout&) {
      wrong = who + " is still there";
    }
  }
  if (death == Death::kStop) ::kill(pids[victims], SIGKILL);
  milliseconds& slowest = death == Death::kThrow ? seen.slowest_throw : seen.slowest;
  if (death != Death::kStop) {
    slowest = std::max(slowest, std::chrono::duration_cast<milliseconds>(Clock::now() - died));
  }
  ++seen.deaths;
  if (wrong.empty()) return {};
  return operation + " of " + std::to_string(work.count) + ", " + std::to_string(size) + " members, rank " +
         std::to_string(victim) +
         (death == Death::kKill   ? " killed"
          : death == Death::kStop ? " stopped"
                                  : " throws") +
         ": " + wrong;
}

Options parse(int argc, char** argv) {
  Options out;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--seconds") out.seconds = std::atoi(argv[i + 1]);
    if (name == "--kills") out.kills = std::atoi(argv[i + 1]);
    if (name == "--seed") out.seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--operation") out.operation = argv[i + 1];
    if (name == "--death") out.death = argv[i + 1];
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const auto session = mobula::init(argc, argv);
  const Options options = parse(argc, argv);
  const auto until = Clock::now() + std::chrono::seconds(options.seconds);
  std::mt19937_64 random(options.seed);
  std::map<std::string, Seen> seen;
  for (int n = 0; options.seconds != 0 ? Clock::now() < until : n < options.kills; ++n) {
    int position = 0;
    for (const auto& [name, operation] : operations()) {
      ++position;
      if (!options.operation.empty() && name != options.operation) continue;
      if (options.seconds != 0 && Clock::now() >= until) break;
      // Each operation has its turn of each kind of death.
      const int turn = (n + position) % 20;
      Death death = turn == 1 ? Death::kStop : turn % 7 == 3 ? Death::kThrow : Death::kKill;
      if (!options.death.empty()) {
        death = options.death == "stop" ? Death::kStop : options.death == "throw" ? Death::kThrow : Death::kKill;
      }
      const std::string wrong = kill_one(name, death, random, seen[name]);
      if (wrong.empty()) continue;
      std::printf("seed %llu, death %d: %s\n", static_cast<unsigned long long>(options.seed), n, wrong.c_str());
      return 1;
    }
  }
  for (const auto& [name, what] : seen) {
    std::printf("%-16s %4d deaths, all had left within %lld ms of a kill, %lld ms of an exception\n", name.c_str(),
                what.deaths, static_cast<long long>(what.slowest.count()),
                static_cast<long long>(what.slowest_throw.count()));
  }
  return 0;
}
