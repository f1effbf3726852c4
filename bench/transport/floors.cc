#include "bench/transport/floors.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "bench/transport/asleep.h"

namespace mobula::bench {
namespace {

void wait_for(const std::atomic<std::uint64_t>& word, std::uint64_t value) {
  while (word.load(std::memory_order_acquire) != value) {
  }
}

}  // namespace

FloorShared make_floor_shared() {
  FloorShared shared;
  void* at = ::mmap(nullptr, sizeof(FloorPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) die("mmap failed");
  shared.page = new (at) FloorPage;
  shared.to_follower = ::eventfd(0, EFD_CLOEXEC);
  shared.to_leader = ::eventfd(0, EFD_CLOEXEC);
  return shared;
}

std::vector<double> CacheLine::round_trips(int count, std::size_t) {
  std::vector<double> samples;
  for (int i = 0; i < count; ++i) {
    ++turn_;
    if (!pair_.leads()) {
      wait_for(shared_.page->to_follower, turn_);
      shared_.page->to_leader.store(turn_, std::memory_order_release);
      continue;
    }
    const auto start = Clock::now();
    shared_.page->to_follower.store(turn_, std::memory_order_release);
    wait_for(shared_.page->to_leader, turn_);
    samples.push_back(microseconds_since(start));
  }
  return samples;
}

std::vector<double> EventFd::sleeping_round_trips(int count, std::size_t) {
  std::vector<double> samples;
  std::uint64_t one = 1;
  const bool leads = pair_.leads();
  for (int i = 0; i < count; ++i) {
    if (leads) settle();
    const auto start = Clock::now();
    if (leads && ::write(shared_.to_follower, &one, sizeof one) < 0) die("eventfd write");
    std::uint64_t got;
    if (::read(leads ? shared_.to_leader : shared_.to_follower, &got, sizeof got) < 0) die("eventfd read");
    if (!leads && ::write(shared_.to_leader, &one, sizeof one) < 0) die("eventfd write");
    if (leads) samples.push_back(microseconds_since(start));
  }
  return samples;
}

double memcpy_gbps(std::size_t bytes) {
  std::vector<char> from(bytes, 1), to(bytes, 2);
  const int rounds = bytes > (1u << 24) ? 8 : 200;
  std::vector<double> samples;
  for (int i = 0; i < rounds; ++i) {
    const auto start = Clock::now();
    std::memcpy(to.data(), from.data(), bytes);
    asm volatile("" : : "r"(to.data()) : "memory");
    samples.push_back(microseconds_since(start));
  }
  return static_cast<double>(bytes) / quantiles(samples).median / 1e3;
}

}  // namespace mobula::bench
