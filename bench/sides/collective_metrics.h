#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "bench/sides/serve.h"
#include "bench/sides/timing.h"

namespace mobula::bench {

enum class Collective : int { kBarrier, kAllreduce, kBroadcast, kAllgather, kReduceScatter, kAlltoall };

// What one row of the suite `collectives` measures: so many ranks, and so many bytes: of the buffer, or of the block
// that one rank gives to, or gets from, another one (allgather, reduce_scatter, alltoall).  Elements are floats.
struct CollectiveMetric {
  Collective what = Collective::kBarrier;
  std::size_t bytes = 0;
  int ranks = 2;
  enum class Link { kShared, kSock } link = Link::kShared;
  // Whose: the program's, read where it is; the same, but staged; that of alloc().
  enum class Memory { kPrivate, kStaged, kAlloc } memory = Memory::kPrivate;
  enum class Unit { kTime, kBandwidth } unit = Unit::kTime;

  std::string name() const {
    constexpr std::array kNames{"barrier", "allreduce", "broadcast", "allgather", "reduce_scatter", "alltoall"};
    std::string out = kNames.at(static_cast<std::size_t>(what));
    if (what != Collective::kBarrier) out += "_" + size_name();
    if (memory == Memory::kAlloc) out += "_alloc";
    if (memory == Memory::kStaged) out += "_staged";
    out += "_n" + std::to_string(ranks);
    if (link == Link::kSock) out += "_sock";
    return out + (unit == Unit::kTime ? "_us" : "_busbw_gbps");
  }
  // That a rank must get from others or hand on, whatever the algorithm.
  double moved_bytes() const {
    const double s = static_cast<double>(bytes);
    const double n = ranks;
    switch (what) {
      case Collective::kBarrier: return 0;
      case Collective::kAllreduce: return 2 * (n - 1) / n * s;
      case Collective::kBroadcast: return s;
      case Collective::kAllgather:
      case Collective::kReduceScatter:
      case Collective::kAlltoall: return (n - 1) * s;
    }
    return 0;
  }
  // Of the larger of the two buffers.
  std::size_t buffer_bytes() const {
    return bytes *
           static_cast<std::size_t>(what == Collective::kAllreduce || what == Collective::kBroadcast ? 1 : ranks);
  }
  double value(double us) const { return unit == Unit::kTime ? us : moved_bytes() / us / 1e3; }

 private:
  std::string size_name() const {
    if (bytes >= (1u << 20)) return std::to_string(bytes >> 20) + "MiB";
    return bytes >= 1024 ? std::to_string(bytes >> 10) + "KiB" : std::to_string(bytes) + "B";
  }
};

inline std::vector<CollectiveMetric> collective_metrics() {
  using M = CollectiveMetric;
  constexpr std::size_t kKiB = 1024;
  constexpr std::size_t kMiB = 1024 * kKiB;
  std::vector<M> out;
  for (const int n : {2, 4}) {
    out.push_back({.what = Collective::kBarrier, .ranks = n});
    for (const std::size_t bytes : {std::size_t{8}, kKiB, 64 * kKiB, kMiB, 16 * kMiB, 128 * kMiB}) {
      for (const auto unit : {M::Unit::kTime, M::Unit::kBandwidth})
        out.push_back({.what = Collective::kAllreduce, .bytes = bytes, .ranks = n, .unit = unit});
    }
    for (const auto memory : {M::Memory::kAlloc, M::Memory::kStaged}) {
      for (const std::size_t bytes : {kMiB, 16 * kMiB}) {
        out.push_back({.what = Collective::kAllreduce,
                       .bytes = bytes,
                       .ranks = n,
                       .memory = memory,
                       .unit = M::Unit::kBandwidth});
      }
      out.push_back({.what = Collective::kAlltoall, .bytes = 16 * kMiB, .ranks = n, .memory = memory});
    }
    for (const auto what :
         {Collective::kBroadcast, Collective::kAllgather, Collective::kReduceScatter, Collective::kAlltoall}) {
      for (const std::size_t bytes : {std::size_t{8}, 64 * kKiB, 16 * kMiB})
        out.push_back({.what = what, .bytes = bytes, .ranks = n});
    }
  }
  for (const int n : {2, 4}) {
    out.push_back({.what = Collective::kBarrier, .ranks = n, .link = M::Link::kSock});
    for (const std::size_t bytes : {std::size_t{8}, 64 * kKiB, 16 * kMiB})
      out.push_back({.what = Collective::kAllreduce, .bytes = bytes, .ranks = n, .link = M::Link::kSock});
    for (const auto what :
         {Collective::kBroadcast, Collective::kAllgather, Collective::kReduceScatter, Collective::kAlltoall}) {
      out.push_back({.what = what, .bytes = 64 * kKiB, .ranks = n, .link = M::Link::kSock});
    }
  }
  return out;
}

// Adds the metrics that `wanted` picks.  `batch(metric, count)` makes count calls on all ranks, with a barrier before
// and one behind, and returns the seconds from the one to the other; roots take turns.
inline void add_collectives(Side& side, const std::function<bool(const CollectiveMetric&)>& wanted,
                            std::function<double(const CollectiveMetric&, int)> batch) {
  static constexpr int kBatches = 3;
  static constexpr int kCallsMax = 1 << 20;
  static constexpr std::size_t kQuickBytesMax = std::size_t{1} << 20;
  for (const CollectiveMetric& metric : collective_metrics()) {
    if (!wanted(metric)) continue;
    side.add(metric.name(), [metric, batch](Effort effort) {
      CollectiveMetric m = metric;
      if (effort.quick) m.bytes = std::min(m.bytes, kQuickBytesMax);
      const double wanted_seconds = effort.quick ? 0.001 : 0.01;
      batch(m, 1);  // Buffers and connections are there.
      int count = 1;
      double seconds = batch(m, count);
      while (seconds < wanted_seconds && count < kCallsMax) {
        const double factor = std::clamp(1.2 * wanted_seconds / std::max(seconds, 1e-9), 2.0, 64.0);
        count = std::min(kCallsMax, static_cast<int>(count * factor) + 1);
        seconds = batch(m, count);
      }
      std::vector<double> us{seconds * 1e6 / count};
      while (!effort.quick && us.size() < kBatches) us.push_back(batch(m, count) * 1e6 / count);
      return m.value(median(std::move(us)));
    });
  }
}

}  // namespace mobula::bench
