// What moving the bytes of a collective takes without one: n processes that hand over to each other in shared memory
// and then copy, all at once, as much as each rank has to get from others.
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "bench/sides/collective_metrics.h"
#include "bench/sides/floor.h"
#include "core/os/futex.h"

namespace mobula::bench {
namespace {

constexpr int kRanksMax = 4;
constexpr int kYields = 8;
constexpr std::size_t kRegionBytes = std::size_t{128} << 20;

struct Line {
  alignas(64) std::atomic<std::uint32_t> phase{0};
  std::atomic<std::uint32_t> sleepers{0};
};
struct Shared {
  Line lines[kRanksMax];
};

class SharedPages {
 public:
  SharedPages()
      : bytes_(4096 + kRanksMax * kRegionBytes),
        at_(::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (at_ == MAP_FAILED) throw CannotMeasure("mmap failed");
    new (at_) Shared;
  }
  ~SharedPages() { ::munmap(at_, bytes_); }
  SharedPages(const SharedPages&) = delete;
  SharedPages& operator=(const SharedPages&) = delete;
  Shared& shared() const { return *static_cast<Shared*>(at_); }
  std::byte* region(int rank) const {
    return static_cast<std::byte*>(at_) + 4096 + static_cast<std::size_t>(rank) * kRegionBytes;
  }

 private:
  std::size_t bytes_;
  void* at_;
};

void wait_for(Line& line, std::uint32_t phase, int ranks) {
  static const unsigned cores = std::thread::hardware_concurrency();
  for (int looks = 0;; ++looks) {
    const std::uint32_t seen = line.phase.load(std::memory_order_acquire);
    if (seen >= phase) return;
    if (static_cast<unsigned>(ranks) <= cores) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    } else if (looks < kYields) {
      ::sched_yield();
    } else {
      line.sleepers.fetch_add(1, std::memory_order_seq_cst);
      if (line.phase.load(std::memory_order_seq_cst) == seen) os::futex_wait(line.phase, seen);
      line.sleepers.fetch_sub(1, std::memory_order_relaxed);
    }
  }
}

// A flat barrier: each looks at every other's line.  Spins where each has a core, else yields, and sleeps soon.
void hand_over(Shared& shared, int rank, int ranks, std::uint32_t phase) {
  Line& own = shared.lines[rank];
  own.phase.store(phase, std::memory_order_seq_cst);
  if (own.sleepers.load(std::memory_order_seq_cst) != 0) os::futex_wake(own.phase, kRanksMax);
  for (int other = 0; other < ranks; ++other) {
    if (other != rank) wait_for(shared.lines[other], phase, ranks);
  }
}

// Seconds of `count` turns.
double turns(const SharedPages& pages, const CollectiveMetric& m, int rank, int count) {
  const auto moved = static_cast<std::size_t>(m.moved_bytes());
  const std::size_t piece = std::min(moved, std::min(m.buffer_bytes(), kRegionBytes));
  std::vector<std::byte> into(std::max<std::size_t>(piece, 1));
  std::memset(pages.region(rank), 1, piece);
  const std::byte* const from = pages.region((rank + 1) % m.ranks);
  std::uint32_t phase = 0;
  hand_over(pages.shared(), rank, m.ranks, ++phase);
  const auto start = Clock::now();
  for (int i = 0; i < count; ++i) {
    hand_over(pages.shared(), rank, m.ranks, ++phase);
    for (std::size_t done = 0; done < moved;) {
      const std::size_t n = std::min(piece, moved - done);
      std::memcpy(into.data(), from, n);
      asm volatile("" ::"r"(into.data()) : "memory");
      done += n;
    }
  }
  hand_over(pages.shared(), rank, m.ranks, ++phase);
  return seconds_since(start);
}

double batch(const CollectiveMetric& m, int count) {
  const SharedPages pages;
  std::vector<pid_t> children;
  for (int rank = 1; rank < m.ranks; ++rank) {
    const pid_t child = ::fork();
    if (child < 0) throw CannotMeasure("fork failed");
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      turns(pages, m, rank, count);
      ::_exit(0);
    }
    children.push_back(child);
  }
  const double seconds = turns(pages, m, 0, count);
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  return seconds;
}

}  // namespace

void add_group_floors(Side& side) {
  add_collectives(
      side, [](const CollectiveMetric& m) { return m.link == CollectiveMetric::Link::kShared; }, batch);
}

}  // namespace mobula::bench
