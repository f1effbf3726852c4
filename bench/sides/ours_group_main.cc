// bench_ours_group [sock]: Mobula's side of the suite `collectives`: groups of actors on one node, or on two.
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <mobula/mobula.h>

#include "bench/sides/collective_metrics.h"

namespace mobula::bench {

struct Work {
  int what = 0;
  std::size_t bytes = 0;
  bool in_alloc = false;
  int count = 0;
};

// The two buffers of a call, as floats.
class Buffers {
 public:
  void provide(std::size_t bytes, bool in_alloc) {
    const std::size_t n = std::max<std::size_t>(1, bytes / sizeof(float));
    if (in_alloc) {
      if (shared_in_.size() < n) {
        shared_in_ = alloc<float>(n);
        shared_out_ = alloc<float>(n);
        std::ranges::fill(shared_in_.mut(), 1.0f);
        std::ranges::fill(shared_out_.mut(), 0.0f);
      }
      in = shared_in_.mut();
      out = shared_out_.mut();
      return;
    }
    if (own_in_.size() < n) {
      own_in_.assign(n, 1.0f);
      own_out_.assign(n, 0.0f);
    }
    in = own_in_;
    out = own_out_;
  }
  std::span<const float> in;
  std::span<float> out;

 private:
  std::vector<float> own_in_;
  std::vector<float> own_out_;
  Array<float> shared_in_;
  Array<float> shared_out_;
};

void call(Collective what, const Communicator& me, std::span<const float> in, std::span<float> out, std::size_t n,
          int turn) {
  const std::size_t all = n * static_cast<std::size_t>(me.size);
  switch (what) {
    case Collective::kBarrier: return me.barrier();
    case Collective::kAllreduce: return me.allreduce(in.first(n), out.first(n));
    case Collective::kBroadcast: return me.broadcast(out.first(n), turn % me.size);
    case Collective::kAllgather: return me.allgather(in.first(n), out.first(all));
    case Collective::kReduceScatter: return me.reduce_scatter(in.first(all), out.first(n));
    case Collective::kAlltoall: return me.alltoall(in.first(all), out.first(all));
  }
}

struct Member {
  double batch(const Work& work) {
    const Communicator& me = self();
    const auto what = static_cast<Collective>(work.what);
    CollectiveMetric metric;
    metric.what = what;
    metric.bytes = work.bytes;
    metric.ranks = me.size;
    buffers_.provide(metric.buffer_bytes(), work.in_alloc);
    const std::size_t n = work.bytes / sizeof(float);
    me.barrier();
    const auto start = Clock::now();
    for (int i = 0; i < work.count; ++i) call(what, me, buffers_.in, buffers_.out, n, i);
    me.barrier();
    return seconds_since(start);
  }
  std::string where() const { return context().node; }
  int pid() const { return ::getpid(); }
  void nothing() const {}

  // When it saw the death of another member, of CLOCK_MONOTONIC; then how long it took to go on without that.
  std::vector<double> outlive() const {
    try {
      for (;;) self().barrier();
    } catch (const CollectiveError&) {
      const auto seen = Clock::now();
      static_cast<void>(self().shrink());
      return {std::chrono::duration<double>(seen.time_since_epoch()).count(), seconds_since(seen)};
    }
  }

 private:
  Buffers buffers_;
};

namespace {

class Groups {
 public:
  explicit Groups(bool on_two_nodes) : on_two_nodes_(on_two_nodes) {}

  double batch(const CollectiveMetric& m, int count) {
    const Work work{static_cast<int>(m.what), m.bytes, m.memory == CollectiveMetric::Memory::kAlloc, count};
    return of(m.ranks).template each<&Member::batch>()(work).get().front();
  }
  const GroupHandle<Member>& of(int ranks) {
    auto& group = groups_[ranks];
    if (!group) group = std::make_unique<GroupHandle<Member>>(make(ranks));
    return *group;
  }

 private:
  GroupHandle<Member> make(int ranks) const {
    if (!on_two_nodes_) return group<Member>.with({.size = ranks})();
    auto made = group<Member>.with({.size = ranks, .cpus = 0.25, .placement = Placement::spread})();
    const std::vector<std::string> where = made.each<&Member::where>()().get();
    if (std::ranges::count(where, where.front()) * 2 != ranks)
      throw CannotMeasure("the members do not lie on two nodes, half of them on each");
    return made;
  }

  bool on_two_nodes_;
  std::map<int, std::unique_ptr<GroupHandle<Member>>> groups_;
};

double group_call_us(const GroupHandle<Member>& group, Effort effort) {
  std::vector<double> us;
  for (int i = effort.of(150); i > 0; --i) {
    const timespec pause{0, 300'000};  // All sleep.
    ::nanosleep(&pause, nullptr);
    const auto start = Clock::now();
    group.each<&Member::nothing>()().get();
    us.push_back(seconds_since(start) * 1e6);
  }
  return median(std::move(us));
}

double group_create_ms(Effort effort) {
  return median_us(effort.of(20),
                   [] {
                     const auto made = group<Member>.with({.size = 4})();
                     made.each<&Member::pid>()().get();
                   }) /
         1e3;
}

// One death among four members: milliseconds until the last of the others knew, and until all had gone on.
struct Death {
  double known_ms = 0;
  double gone_on_ms = 0;
};
Death one_death() {
  const auto made = group<Member>.with({.size = 4})();
  const std::vector<int> pids = made.each<&Member::pid>()().get();
  std::vector<Ref<std::vector<double>>> survivors;
  for (std::size_t rank = 0; rank + 1 < made.size(); ++rank) survivors.push_back(method<&Member::outlive>(made[rank]));
  const auto victim = method<&Member::outlive>(made[made.size() - 1]);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // All are in the middle of it.
  const double killed = std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
  ::kill(pids.back(), SIGKILL);
  Death out;
  for (auto& survivor : survivors) {
    const std::vector<double> seconds = survivor.get();
    out.known_ms = std::max(out.known_ms, (seconds[0] - killed) * 1e3);
    out.gone_on_ms = std::max(out.gone_on_ms, seconds[1] * 1e3);
  }
  return out;
}

double median_death(Effort effort, double Death::*part) {
  std::vector<double> ms;
  for (int i = effort.of(5); i > 0; --i) ms.push_back(one_death().*part);
  return median(std::move(ms));
}

void serve(bool on_two_nodes) {
  Side side;
  Groups groups(on_two_nodes);
  const auto link = on_two_nodes ? CollectiveMetric::Link::kSock : CollectiveMetric::Link::kShared;
  add_collectives(
      side, [&](const CollectiveMetric& m) { return m.link == link; },  // Staged by a setting.
      [&](const CollectiveMetric& m, int count) { return groups.batch(m, count); });
  if (!on_two_nodes) {
    side.add("group_call_n4_us", [&](Effort e) { return group_call_us(groups.of(4), e); });
    side.add("group_create_ms", group_create_ms);
    side.add("failure_to_error_ms", [](Effort e) { return median_death(e, &Death::known_ms); });
    side.add("shrink_ms", [](Effort e) { return median_death(e, &Death::gone_on_ms); });
  }
  side.serve();
}

}  // namespace
}  // namespace mobula::bench

int main(int argc, char** argv) {
  try {
    const auto session = mobula::init(argc, argv);
    mobula::bench::serve(argc > 1 && std::string(argv[1]) == "sock");
  } catch (const mobula::Error& error) {
    std::cerr << error.report() << "\n";
    return 1;
  }
  return 0;
}
