// Scheduling as a user's program sees it: placement groups, deaths and what follows them.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include <mobula/mobula.h>

#include "bench/sides/serve.h"
#include "bench/sides/timing.h"
#include "core/os/bind.h"

namespace mobula::bench {

using namespace std::chrono_literals;

int nothing() { return 0; }

// A driver as Ray's benchmark of several has them: an actor that submits.
struct Client {
  int submit(int tasks) {
    std::vector<Ref<int>> refs;
    refs.reserve(static_cast<std::size_t>(tasks));
    for (int i = 0; i < tasks; ++i) refs.push_back(remote<&nothing>());
    for (auto& ref : refs) std::move(ref).get();
    return tasks;
  }
};

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The first run notes the time and dies; the second says how long ago that was.
double die_then_measure(std::string note) {
  double died = 0;
  if (std::ifstream(note) >> died) return now_ms() - died;
  std::ofstream(note) << std::fixed << now_ms();
  ::kill(::getpid(), SIGKILL);
  return 0;
}

struct Mortal {
  int pid() { return ::getpid(); }
};

std::string allowed_cpus_here() { return os::allowed_cpus(::getpid()).value_or(base::CpuSet()).to_string(); }

namespace {

constexpr auto kLong = 60s;

double tasks_of_two_drivers(Effort effort) {
  static const std::vector<ActorHandle<Client>> clients{actor<Client>(), actor<Client>()};
  for (const auto& client : clients) (void)method<&Client::submit>(client, 10).get(kLong);
  const int tasks = effort.of(20'000);
  const auto start = Clock::now();
  std::vector<Ref<int>> done;
  for (const auto& client : clients) done.push_back(method<&Client::submit>(client, tasks));
  for (auto& ref : done) (void)ref.get(kLong);
  return 2 * tasks / seconds_since(start);
}

double groups_per_s(int count) {
  const auto start = Clock::now();
  for (int i = 0; i < count; ++i) {
    const auto group = placement_group({{.cpus = 0.001}});
    group.ready().get(kLong);
    remove(group);
  }
  return count / seconds_since(start);
}

double groups_with_many_alive(Effort effort) {
  std::vector<PlacementGroup> alive;
  for (int i = effort.of(1'000); i > 0; --i) alive.push_back(placement_group({{.cpus = 0.0001}}));
  for (const auto& group : alive) group.ready().get(kLong);
  const double rate = groups_per_s(effort.of(400));
  for (const auto& group : alive) remove(group);
  return rate;
}

double group_ready_us(Effort effort) {
  std::vector<double> us;
  for (int i = effort.of(200); i > 0; --i) {
    const auto start = Clock::now();
    const auto group = placement_group({{.cpus = 0.001}});
    group.ready().get(kLong);
    us.push_back(seconds_since(start) * 1e6);
    remove(group);
  }
  return median(std::move(us));
}

double worker_death_to_retry(Effort effort) {
  std::vector<double> ms;
  for (int i = effort.of(20); i > 0; --i) {
    const std::string note = "/tmp/mobula-bench-death-" + std::to_string(::getpid()) + "-" + std::to_string(i);
    ms.push_back(remote<&die_then_measure>.with({.max_retries = 1})(note).get(kLong));
    ::unlink(note.c_str());
  }
  return median(std::move(ms));
}

double actor_restart(Effort effort) {
  std::vector<double> ms;
  for (int i = effort.of(20); i > 0; --i) {
    const auto mortal = actor<Mortal>.with({.max_restarts = 1, .max_task_retries = -1})();
    const int pid = method<&Mortal::pid>(mortal).get(kLong);
    const auto start = Clock::now();
    ::kill(pid, SIGKILL);
    while (method<&Mortal::pid>(mortal).get(kLong) == pid) continue;
    ms.push_back(seconds_since(start) * 1e3);
  }
  return median(std::move(ms));
}

// Bundles of one CPU each: whose worker is bound to anything but one CPU of its own is wrong.
double wrongly_bound(Effort) {
  const auto all = std::max(1u, std::thread::hardware_concurrency());
  const std::vector<Bundle> bundles(all, Bundle{.cpus = 1});
  const auto group = placement_group(bundles);
  if (!group.wait(10s)) throw CannotMeasure("the CPUs of this machine are not free for a placement group");
  int wrong = 0;
  std::vector<std::string> seen;
  for (int i = 0; i < static_cast<int>(all); ++i) {
    seen.push_back(remote<&allowed_cpus_here>.with({.placement_group = group, .bundle = i})().get(kLong));
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const auto one = base::CpuSet::parse(seen[i]);
    bool own = one && one->count() == 1;
    for (std::size_t k = 0; k < i; ++k) own = own && seen[k] != seen[i];
    wrong += own ? 0 : 1;
  }
  remove(group);
  return wrong;
}

// From a raylet's SIGKILL until the cluster lists its node as dead.
double node_crash_detect(Effort) {
  const auto nodes = [] { return nlohmann::json::parse(cluster_status_json())["nodes"]; };
  for (const auto& node : nodes()) {
    if (node["state"] != "ALIVE" || node["name"] == "n0") continue;
    const std::string name = node["name"];
    const auto start = Clock::now();
    ::kill(node["pid"].get<int>(), SIGKILL);
    while (seconds_since(start) < 30) {
      for (const auto& row : nodes()) {
        if (row["name"] == name && row["state"] == "DEAD") return seconds_since(start) * 1e3;
      }
    }
  }
  throw CannotMeasure("no node could be killed, or none was found dead within 30 s");
}

}  // namespace
}  // namespace mobula::bench

int main(int argc, char** argv) {
  using namespace mobula::bench;
  try {
    const auto session = mobula::init(argc, argv);
    Side side;
    side.add("task_async_multi_driver_per_s", &tasks_of_two_drivers);
    side.add("pg_create_remove_per_s", [](Effort effort) { return groups_per_s(effort.of(1'000)); });
    side.add("pg_create_with_1000_alive_per_s", &groups_with_many_alive);
    side.add("pg_ready_us", &group_ready_us);
    side.add("bind_check", &wrongly_bound);
    side.add("worker_death_to_retry_ms", &worker_death_to_retry);
    side.add("actor_restart_ms", &actor_restart);
    side.add("node_crash_detect_ms", &node_crash_detect);
    side.serve();
  } catch (const mobula::Error& error) {
    std::cerr << error.report() << "\n";
    return 1;
  }
  return 0;
}
