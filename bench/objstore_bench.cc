// What the node's store costs by itself, without worker, raylet or messages: a put, a get, a slab.
//
// Each row is the median of several rounds; floors are measured in the same rounds.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/os/memory_file.h"
#include "core/os/pages.h"
#include "objstore/store.h"

namespace {

using namespace mobula;
using namespace mobula::objstore;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kKiB = 1024;
constexpr std::size_t kMiB = 1024 * kKiB;
constexpr std::size_t kGiB = 1024 * kMiB;
constexpr int kRounds = 9;

base::ObjectId id_of(std::uint64_t n) { return base::ObjectId::from_words(n, 1, 2, 3); }

double seconds_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

// Median seconds of each, the rounds of all interleaved.
std::vector<double> measure(const std::vector<std::function<void()>>& works, int rounds = kRounds) {
  std::vector<std::vector<double>> times(works.size());
  for (int round = 0; round <= rounds; ++round) {
    for (std::size_t i = 0; i < works.size(); ++i) {
      const double t = seconds_of(works[i]);
      if (round != 0) times[i].push_back(t);
    }
  }
  std::vector<double> out;
  for (const auto& t : times) out.push_back(median(t));
  return out;
}

void row(const char* metric, double ours, const char* unit, double floor = 0, const char* floor_name = "") {
  std::printf("%-28s %10.2f %-5s", metric, ours, unit);
  if (floor != 0) std::printf("  floor %10.2f (%s), ratio %.3f", floor, floor_name, ours / floor);
  std::printf("\n");
}

struct Bench {
  Bench() : store(make()), grant(*store.attach(::getpid())), client(attach(grant)) {}

  static Store make() {
    StoreOptions o;
    o.bytes = 3 * kGiB;
    o.keep_free_bytes = 512 * kMiB;
    auto store = Store::create(o);
    if (!store) fail(store.error());
    return std::move(*store);
  }
  static StoreClient attach(const AttachGrant& g) {
    return *StoreClient::attach(os::Fd(::dup(g.control_fd)), os::Fd(::dup(g.data_fd)), g.slot);
  }
  [[noreturn]] static void fail(const base::Error& error) {
    std::fprintf(stderr, "%s\n", error.what.c_str());
    std::exit(1);
  }
  Allocation allocate(std::size_t size) {
    for (;;) {
      if (auto allocation = client.allocate(size)) return std::move(*allocation);
      const auto slab = store.lease_slab_reserving(grant.slot, client.slab_bytes_needed());
      if (!slab) fail(slab.error());
      if (!client.add_slab(*slab)) std::exit(1);
    }
  }
  void put(std::uint64_t n, base::ConstBytes value) {
    Allocation allocation = allocate(value.size());
    allocation.write(0, value);
    (void)client.seal(std::move(allocation), id_of(n), Copy::kPrimary).ok();
  }

  Store store;
  AttachGrant grant;
  StoreClient client;
};

// Shared memory whose pages are there and mapped: what a put copies into at best.
os::Mapping warm_memory(std::size_t size) {
  const auto file = os::make_memory_file("bench", size);
  auto mapping = os::map_file(*file, 0, size, os::Access::kReadWrite);
  if (!os::populate({mapping->data(), size})) std::exit(1);
  return std::move(*mapping);
}

void small_things(Bench& b) {
  const std::vector<std::byte> value(4 * kKiB, std::byte{1});
  constexpr std::uint64_t kObjects = 2000;
  for (std::uint64_t n = 0; n < kObjects; ++n) b.put(n, value);
  std::uint64_t at = 0;
  std::size_t sum = 0;
  constexpr int kGets = 100'000;
  const auto get_same = [&] {
    for (int i = 0; i < kGets; ++i) sum += b.client.get(id_of(7))->bytes().size();
  };
  const auto get_many = [&] {
    for (int i = 0; i < kGets; ++i) sum += b.client.get(id_of(at = (at * 5 + 1) % kObjects))->bytes().size();
  };
  const auto miss = [&] {
    for (int i = 0; i < kGets; ++i) sum += b.client.get(id_of(kObjects + 7)) ? 1u : 0u;
  };
  const auto times = measure({get_same, get_many, miss});
  row("get_local_ns", times[0] / kGets * 1e9, "ns");
  row("get_local_of_2000_ns", times[1] / kGets * 1e9, "ns");
  row("get_miss_ns", times[2] / kGets * 1e9, "ns");
  for (std::uint64_t n = 0; n < kObjects; ++n) b.client.free(id_of(n));
  if (sum == 0) std::exit(1);
}

void puts(Bench& b, std::size_t size, int n, const char* name) {
  const std::vector<std::byte> value(size, std::byte{1});
  const os::Mapping warm = warm_memory(size);
  const auto put = [&] {
    for (int i = 0; i < n; ++i) {
      b.put(1, value);
      b.client.free(id_of(1));
    }
  };
  const auto copy = [&] {
    for (int i = 0; i < n; ++i) {
      std::memcpy(warm.data(), value.data(), size);
      asm volatile("" ::"r"(warm.data()) : "memory");
    }
  };
  const auto times = measure({put, copy});
  row(name, times[0] / n * 1e6, "us", times[1] / n * 1e6, "memcpy, warm shared pages");
}

// Puts of 1 MiB that walk over 256 MiB, as those of a program whose objects live for a while.
void put_stream(Bench& b) {
  constexpr int kObjects = 256;
  const std::vector<std::byte> value(kMiB, std::byte{1});
  const os::Mapping warm = warm_memory(kObjects * kMiB);
  const auto put = [&] {
    for (std::uint64_t i = 0; i < kObjects; ++i) b.put(i, value);
  };
  const auto drop = [&] {
    for (std::uint64_t i = 0; i < kObjects; ++i) b.client.free(id_of(i));
  };
  const auto copy = [&] {
    for (std::size_t i = 0; i < kObjects; ++i) std::memcpy(warm.data() + i * kMiB, value.data(), kMiB);
  };
  const auto times = measure({put, drop, copy}, 5);
  row("put_1m_of_256_us", times[0] / kObjects * 1e6, "us", times[2] / kObjects * 1e6, "memcpy, warm shared pages");
}

void large(Bench& b) {
  const std::vector<std::byte> value(kGiB, std::byte{1});
  const os::Mapping warm = warm_memory(kGiB);
  const double reserve = seconds_of([&] {
    const auto slab = b.store.lease_slab_reserving(b.grant.slot, kGiB);
    if (!slab) Bench::fail(slab.error());
    if (!b.client.add_slab(*slab)) std::exit(1);
  });
  double populate = 0;
  {
    Allocation allocation = b.allocate(kGiB);
    populate = seconds_of([&] { allocation.populate(kGiB); });
    b.client.abort(std::move(allocation));
  }
  const auto put = [&] {
    b.put(1, value);
    b.client.free(id_of(1));
  };
  const auto copy = [&] { std::memcpy(warm.data(), value.data(), kGiB); };
  const auto times = measure({put, copy}, 5);
  std::vector<double> alloc_seals;
  for (int i = 0; i < 100; ++i) {
    alloc_seals.push_back(seconds_of([&] {
      Allocation allocation = b.allocate(kGiB);
      (void)b.client.seal(std::move(allocation), id_of(1), Copy::kPrimary).ok();
    }));
    b.client.free(id_of(1));
  }
  const double gb = static_cast<double>(kGiB) / 1e9;
  row("put_1g_gbps", gb / times[0], "GB/s", gb / times[1], "memcpy, warm shared pages");
  row("alloc_seal_1g_us", median(alloc_seals) * 1e6, "us");
  row("reserve_1g_ms", reserve * 1e3, "ms");
  row("populate_1g_ms", populate * 1e3, "ms");
}

void leases(Bench& b) {
  for (const std::size_t size : {8 * kMiB, kGiB}) {
    std::vector<double> lease;
    std::vector<double> give_back;
    for (int i = 0; i < 50; ++i) {
      SlabGrant slab;
      lease.push_back(seconds_of([&] {
        slab = *b.store.lease_slab_reserving(b.grant.slot, size);
        if (!b.client.add_slab(slab)) std::exit(1);
      }));
      give_back.push_back(seconds_of([&] {
        for (const SlabGrant& s : b.client.take_empty_slabs(0)) (void)b.store.return_slab(b.grant.slot, s).ok();
      }));
    }
    const std::string name = size == kGiB ? "1g" : "8m";
    row(("slab_lease_" + name + "_us").c_str(), median(lease) * 1e6, "us");
    row(("slab_return_" + name + "_us").c_str(), median(give_back) * 1e6, "us");
  }
  row("reclaim_us",
      median([&] {
        std::vector<double> times;
        for (int i = 0; i < 20; ++i) {
          const auto grant = b.store.attach(1);
          times.push_back(seconds_of([&] { b.store.reclaim(grant->slot); }));
        }
        return times;
      }()) *
          1e6,
      "us");
  row("create_us",
      median([] {
        std::vector<double> times;
        for (int i = 0; i < 9; ++i) times.push_back(seconds_of([] { Bench::make(); }));
        return times;
      }()) *
          1e6,
      "us");
  row("attach_us",
      median([&] {
        std::vector<double> times;
        for (int i = 0; i < 9; ++i) {
          times.push_back(seconds_of([&] {
            const auto grant = b.store.attach(1);
            Bench::attach(*grant);
            b.store.reclaim(grant->slot);
          }));
        }
        return times;
      }()) *
          1e6,
      "us");
}

}  // namespace

int main() {
  Bench b;
  small_things(b);
  puts(b, 4 * kKiB, 20'000, "put_4k_us");
  puts(b, kMiB, 500, "put_1m_us");
  put_stream(b);
  large(b);
  leases(b);
  std::printf("%s\n", b.store.memory_report().c_str());
  return 0;
}
