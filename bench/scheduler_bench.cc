// What one step of the scheduling machines costs: the share of each task's time that is decision.
//
//   scheduler_bench [rounds]
//
// Each figure is the best and the median of the rounds, in nanoseconds of one thread.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "scheduler/lease.h"
#include "scheduler/membership.h"
#include "scheduler/submit.h"

namespace mobula::scheduler {
namespace {

using Clock = std::chrono::steady_clock;

base::Time virtual_time(std::uint64_t us) {
  return base::Time(std::chrono::seconds(1) + std::chrono::microseconds(us));
}

template <class Id>
Id id(std::uint64_t n) {
  return Id::from_words(n, n * 31, 1, 0);
}

base::Resources cpus(double n) {
  base::Resources r;
  r.set("cpus", base::Amount::of(n));
  return r;
}

// Runs `round` (which does `operations`) again and again and prints the cost of one operation.
void measure(const char* name, int rounds, std::uint64_t operations, const std::function<void()>& round) {
  std::vector<double> ns;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = Clock::now();
    round();
    const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
    ns.push_back(took.count() / static_cast<double>(operations));
  }
  std::sort(ns.begin(), ns.end());
  std::printf("%-44s %9.1f ns best %9.1f ns median\n", name, ns.front(), ns[ns.size() / 2]);
}

// A driver with two leases: submit a wave, let workers answer, again.  One operation: a task's whole way.
void submit_bursts(int rounds, std::uint32_t wave) {
  SubmitMachine machine(SubmitLimits{});
  base::Outbox<SubmitOutput> out, pushed;
  std::uint64_t us = 0;
  machine.submit(virtual_time(0), {0, 0, 3}, out);
  for (std::uint32_t w = 0; w < 2; ++w)
    machine.step(virtual_time(0), Granted{0, id<base::LeaseId>(w + 1), w, w + 1, 1}, out);
  const auto answer = [&] {
    while (!out.empty()) {
      std::swap(out, pushed);
      out.clear();
      for (const SubmitOutput& o : pushed) {
        if (const auto* p = std::get_if<Push>(&o)) {
          machine.finished(virtual_time(++us),
                           {p->worker, p->task, std::chrono::microseconds(2), TaskFinished::Outcome::kDone}, out);
        }
      }
    }
  };
  answer();
  const auto name = "submit: " + std::to_string(wave) + " tasks at a time";
  measure(name.c_str(), rounds, wave, [&] {
    for (std::uint32_t t = 0; t < wave; ++t) machine.submit(virtual_time(us), {t, 0, 3}, out);
    answer();
  });
}

void submit_synchronously(int rounds) {
  SubmitMachine machine(SubmitLimits{});
  base::Outbox<SubmitOutput> out;
  machine.submit(virtual_time(0), {0, 0, 3}, out);
  machine.step(virtual_time(0), Granted{0, id<base::LeaseId>(1), 0, 1, 1}, out);
  machine.finished(virtual_time(1), {0, 0, std::chrono::microseconds(1), TaskFinished::Outcome::kDone}, out);
  std::uint64_t us = 2;
  constexpr std::uint64_t kTasks = 100'000;
  measure("submit: one task at a time", rounds, kTasks, [&] {
    for (std::uint64_t i = 0; i < kTasks; ++i) {
      out.clear();
      machine.submit(virtual_time(++us), {0, 0, 3}, out);
      machine.finished(virtual_time(us), {0, 0, std::chrono::microseconds(1), TaskFinished::Outcome::kDone}, out);
    }
  });
}

// A raylet of 64 cpus: demand, grant, acknowledgement, return.  One operation: a lease's whole life.
void leases(int rounds, std::uint32_t owners) {
  LeaseLimits limits;
  limits.pool.cores = 64;
  LeaseMachine machine({id<base::NodeId>(1), cpus(64), {}}, limits);
  base::Outbox<LeaseOutput> out;
  const auto job = id<base::JobId>(1);
  for (std::uint64_t w = 0; w < 64; ++w)
    machine.step(virtual_time(0), WorkerReady{id<base::WorkerId>(1000 + w), job, "there"}, out);
  std::uint64_t us = 0, seq = 0;
  constexpr std::uint64_t kLeases = 4'000;
  const auto name = "lease: a slot's whole life, " + std::to_string(owners) + " owners";
  measure(name.c_str(), rounds, kLeases, [&] {
    for (std::uint64_t i = 0; i < kLeases; ++i) {
      const auto owner = id<base::WorkerId>(i % owners + 1);
      out.clear();
      machine.step(virtual_time(++us), DemandSet{owner, 0, job, cpus(1), {}, 1, ++seq}, out);
      base::LeaseId lease;
      for (const LeaseOutput& o : out) {
        if (const auto* g = std::get_if<Grant>(&o)) lease = g->lease;
      }
      machine.step(virtual_time(us), GrantAcked{owner, lease}, out);
      machine.step(virtual_time(us), DemandSet{owner, 0, job, cpus(1), {}, 0, ++seq}, out);
      machine.step(virtual_time(us), LeaseReturned{owner, lease, WorkerFate::kReusable}, out);
    }
  });
}

void heartbeats(int rounds, std::uint64_t nodes) {
  MembershipMachine machine{MembershipLimits{}};
  base::Outbox<MembershipOutput> out;
  for (std::uint64_t n = 1; n <= nodes; ++n)
    machine.step(virtual_time(0), NodeRegistered{id<base::NodeId>(n), 1, "", cpus(8), {}}, out);
  std::uint64_t us = 0, version = 0;
  const auto name = "membership: a heartbeat among " + std::to_string(nodes) + " nodes";
  measure(name.c_str(), rounds, nodes, [&] {
    ++version;
    for (std::uint64_t n = 1; n <= nodes; ++n) {
      out.clear();
      machine.step(virtual_time(us += 10), NodeHeartbeat{id<base::NodeId>(n), 1, version, cpus(8)}, out);
    }
  });
}

}  // namespace
}  // namespace mobula::scheduler

int main(int argc, char** argv) {
  using namespace mobula::scheduler;
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 31;
  submit_synchronously(rounds);
  submit_bursts(rounds, 1'000);
  submit_bursts(rounds, 100'000);
  leases(rounds, 1);
  leases(rounds, 1'000);
  heartbeats(rounds, 16);
  heartbeats(rounds, 10'000);
  return 0;
}
