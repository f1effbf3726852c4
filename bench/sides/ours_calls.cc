#include <time.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <fstream>
#include <optional>
#include <vector>

#include <mobula/mobula.h>

#include "bench/sides/ours.h"
#include "bench/sides/timing.h"

namespace mobula::bench {

using Payload = std::array<std::byte, 64>;

struct Echo {
  Payload echo(Payload p) { return p; }
};

Payload echo_task(Payload p) { return p; }

// Calls several actors in turn, all answers outstanding at once.
int call_all(std::vector<ActorHandle<Echo>> actors, int calls) {
  std::vector<Ref<Payload>> refs;
  refs.reserve(static_cast<std::size_t>(calls));
  for (int i = 0; i < calls; ++i) {
    refs.push_back(method<&Echo::echo>(actors[static_cast<std::size_t>(i) % actors.size()], Payload{}));
  }
  for (auto& ref : refs) std::move(ref).get();
  return calls;
}

int hold_cpu(int seconds) {
  ::sleep(static_cast<unsigned>(seconds));
  return 0;
}

namespace {

// Long enough for whoever waits for a message to have gone to sleep.
void let_sleep() {
  const timespec pause{0, 300'000};
  ::nanosleep(&pause, nullptr);
}

std::size_t resident_bytes() {
  std::size_t pages = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

class Actors {
 public:
  const ActorHandle<Echo>& first() { return all(1).front(); }
  const std::vector<ActorHandle<Echo>>& all(std::size_t count) {
    while (actors_.size() < count) {
      actors_.push_back(actor<Echo>());
      method<&Echo::echo>(actors_.back(), Payload{}).get();
    }
    return actors_;
  }

 private:
  std::vector<ActorHandle<Echo>> actors_;
};

double actor_call_sync(const ActorHandle<Echo>& echo, Effort effort) {
  const auto call = [&] { static_cast<void>(method<&Echo::echo>(echo, Payload{}).get()); };
  median_us(effort.of(200), call);
  return median_us(effort.of(4000), call);
}

double actor_call_sleeping(const ActorHandle<Echo>& echo, Effort effort) {
  std::vector<double> us;
  for (int i = effort.of(150); i > 0; --i) {
    let_sleep();
    const auto start = Clock::now();
    static_cast<void>(method<&Echo::echo>(echo, Payload{}).get());
    us.push_back(seconds_since(start) * 1e6);
  }
  return median(std::move(us));
}

double actor_call_async(const ActorHandle<Echo>& echo, Effort effort) {
  const int calls = effort.of(40'000);
  const auto start = Clock::now();
  call_all({echo}, calls);
  return calls / seconds_since(start);
}

double actor_call_nn(const std::vector<ActorHandle<Echo>>& actors, Effort effort) {
  const int calls = effort.of(40'000);
  const auto start = Clock::now();
  std::vector<Ref<int>> callers;
  for (std::size_t i = 0; i < actors.size(); ++i) callers.push_back(remote<&call_all>(actors, calls));
  int made = 0;
  for (auto& caller : callers) made += std::move(caller).get();
  return made / seconds_since(start);
}

double task_sync(Effort effort) {
  const auto call = [] { static_cast<void>(remote<&echo_task>(Payload{}).get()); };
  median_us(effort.of(200), call);
  return median_us(effort.of(4000), call);
}

double task_async(Effort effort) {
  const int tasks = effort.of(40'000);
  std::vector<Ref<Payload>> refs;
  refs.reserve(static_cast<std::size_t>(tasks));
  const auto start = Clock::now();
  for (int i = 0; i < tasks; ++i) refs.push_back(remote<&echo_task>(Payload{}));
  for (auto& ref : refs) std::move(ref).get();
  return tasks / seconds_since(start);
}

double actor_create(Effort effort) {
  const int count = effort.quick ? 8 : 60;
  std::vector<ActorHandle<Echo>> actors;
  std::vector<Ref<Payload>> answers;
  const auto start = Clock::now();
  for (int i = 0; i < count; ++i) {
    actors.push_back(actor<Echo>());
    answers.push_back(method<&Echo::echo>(actors.back(), Payload{}));
  }
  for (auto& answer : answers) std::move(answer).get();
  return count / seconds_since(start);
}

// Of a process that has done nothing else.  All CPUs are held, so that what is submitted stays with its owner.
double queued_task(Effort effort) {
  const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
  std::vector<Ref<int>> held;
  for (long i = 0; i < cpus; ++i) held.push_back(remote<&hold_cpu>(60));
  const std::size_t tasks = effort.quick ? 100'000 : 1'000'000;
  std::vector<Ref<Payload>> refs(tasks);
  const std::size_t before = resident_bytes();
  for (auto& ref : refs) ref = remote<&echo_task>(Payload{});
  const double grown = static_cast<double>(resident_bytes()) - static_cast<double>(before);
  for (auto& ref : held) cancel(ref, {.force = true});
  for (auto& ref : refs) cancel(ref);
  return grown / static_cast<double>(tasks);
}

}  // namespace

void add_calls(Side& side) {
  const auto actors = std::make_shared<Actors>();
  side.add("actor_call_sync_us", [=](Effort e) { return actor_call_sync(actors->first(), e); });
  side.add("actor_call_sleeping_us", [=](Effort e) { return actor_call_sleeping(actors->first(), e); });
  side.add("actor_call_async_per_s", [=](Effort e) { return actor_call_async(actors->first(), e); });
  side.add("actor_call_nn_per_s", [=](Effort e) { return actor_call_nn(actors->all(2), e); });
  side.add("task_sync_us", task_sync);
  side.add("task_async_per_s", task_async);
  side.add("actor_create_per_s", actor_create);
  side.add("queued_task_bytes", queued_task);
}

}  // namespace mobula::bench
